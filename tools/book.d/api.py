"""The reference of the API, from the description that a running server gives of itself."""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

HEAD = """\
# API of inference-server

Written by `tools/book-reference` from `/openapi.json` of a server with the profile `http`; do not edit. A running
server has the same, for programs. [The server's page](../ops/inference-server.md#asking) says how requests are meant,
and what the profiles `sagemaker` and `runpod` take: the bodies of the operations are the same there.
"""
METHODS = ["get", "post", "put", "patch", "delete"]


def _free(log, server, seconds=60):
    """Where a server that was just started listens."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and server.poll() is None:
        for line in log.read_text().splitlines():
            said = json.loads(line)
            if said.get("message") == "listening" and "address" in said:
                return said["address"]
        time.sleep(0.05)
    raise SystemExit("inference-server did not start:\n" + log.read_text())


def describe(binaries):
    """The description, as the server gives it."""
    with tempfile.TemporaryDirectory(prefix="parallax-book-") as name:
        log = Path(name) / "log"
        environment = {"PATH": os.environ["PATH"], "HOME": name}
        command = [binaries / "inference-server", "--profile", "http", "--engine", "draft", "--file-roots", name]
        command += ["--address", "127.0.0.1:0", "--health-address", "127.0.0.1:0"]
        with open(log, "w") as text:
            server = subprocess.Popen(command, env=environment, stderr=text, stdout=text)
        try:
            with urllib.request.urlopen(f"http://{_free(log, server)}/openapi.json", timeout=30) as answer:
                return json.load(answer)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _line(text):
    return re.sub(r"\s+", " ", text or "").strip()


def _kind(schema):
    """The type of a value in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            kinds = [_kind(part) for part in schema[key]]
            return " or ".join(dict.fromkeys(k for k in kinds if k != "null")) or "null"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(value)}`" for value in schema["enum"] if value is not None)
    kinds = schema.get("type", "any")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    kind = " or ".join(k for k in kinds if k != "null")
    if "minimum" in schema and "maximum" in schema:
        kind += f", {schema['minimum']} to {schema['maximum']}"
    return f"list of {_kind(schema['items'])}" if kind == "array" and "items" in schema else kind


def _fields(schema, needed=(), prefix=""):
    """Rows of a table of fields; those of an object within follow it."""
    required = set(schema.get("required", needed))
    for name, field in schema.get("properties", {}).items():
        default = field.get("default")
        note = "required" if name in required else f"`{json.dumps(default)}`" if default is not None else ""
        cell = _line(field.get("description")).replace("|", "\\|")
        yield f"| `{prefix}{name}` | {_kind(field)} | {note} | {cell} |"
        yield from _fields(field, prefix=f"{prefix}{name}.")


def _table(schema):
    rows = list(_fields(schema))
    if not rows:
        return "No fields.\n"
    return "| field | type | default | meaning |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"


def _parameters(parameters):
    for one in parameters:
        what = _line(one.get("description"))
        yield f"- `{one['name']}` ({one['in']}{', required' if one.get('required') else ''}){': ' + what if what else ''}"


def _body(holder):
    """The schema of a body, of whatever type it is sent as."""
    return next(iter(holder.get("content", {}).items()), (None, None))


def _operation(method, path, operation, shared):
    yield f"### {method.upper()} {path}\n\n{_line(operation.get('summary') or operation.get('description'))}\n"
    listed = list(_parameters(shared + operation.get("parameters", [])))
    if listed:
        yield "\n".join(listed) + "\n"
    _, body = _body(operation.get("requestBody", {}))
    if body:
        yield "The body:\n\n" + _table(body["schema"])
    answers = []
    for status, answer in operation["responses"].items():
        kind, content = _body(answer)
        schema = content["schema"] if content else {}
        shown = _kind(schema) if "$ref" in schema else schema.get("title", kind or "")
        answers.append(f"| {status} | {shown} | {_line(answer['description'])} |")
    yield "| answer | body | meaning |\n| --- | --- | --- |\n" + "\n".join(answers) + "\n"
    _, content = _body(operation["responses"].get("200", {}))
    if content and content["schema"].get("properties"):
        yield "The body of 200:\n\n" + _table(content["schema"])


def page(described):
    """The page, as Markdown."""
    parts = [HEAD, "## Requests\n"]
    for path, methods in described["paths"].items():
        for method in METHODS:
            if method in methods:
                parts += _operation(method, path, methods[method], methods.get("parameters", []))
    parts.append("## Bodies\n")
    for name, schema in described["components"]["schemas"].items():
        parts.append(f"### {name}\n\n{_line(schema.get('description'))}\n\n{_table(schema)}")
    return "\n".join(parts)
