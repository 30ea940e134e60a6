"""Every expression of the modules, evaluated by Terraform itself without the provider.

A provider cannot be had everywhere, and without one Terraform plans nothing. So the modules are written
again with locals in the place of resources: what stands in their bodies, loops and conditions included, is
evaluated as it would be, over made-up values for what only AWS knows. Types that do not fit, keys that are
not there and values that a variable refuses are found; arguments that a resource does not have are not.

What AWS says of a resource that the same apply makes is not known when it is planned, and how many there are
of something may not depend on it. So such values come from `terraform_data`, which is part of Terraform and
knows its own no earlier, and every loop is that of a `terraform_data` too.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGE = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/server@{DIGEST}"
CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/films"
# What only AWS knows of something that is looked up, whatever it is, and so has been there before.
KNOWN = {
    "account_id": '"123456789012"',
    "arn": '"arn:aws:service:eu-west-1:123456789012:made-up"',
    "family": '"family"',
    "id": '"made-up"',
    "insecure_value": '"ami-1"',
    "json": '"{}"',
    "name": '"made-up"',
    "names": '["a", "b"]',
    "partition": '"aws"',
    "private_ip": '"10.0.0.1"',
    "region": '"eu-west-1"',
    "repository_url": '"123456789012.dkr.ecr.eu-west-1.amazonaws.com/made-up"',
    "stream_arn": '"arn:aws:service:eu-west-1:123456789012:stream"',
    "url": '"https://sqs.eu-west-1.amazonaws.com/123456789012/made-up"',
}
# A list has as many members before as after the apply.
UNKNOWN = {name: "[terraform_data.unknown.id]" if value.startswith("[") else "terraform_data.unknown.id" for name, value in KNOWN.items()}
ABOUT_BLOCKS = {"for_each", "count", "depends_on", "provider"}

# One root over all: the examples with some variables, and settings that they leave alone.
ROOT = f"""
module "complete" {{
  source                  = "./examples/complete"
  region                  = "eu-west-1"
  worker_image_digest     = "{DIGEST}"
  server_image_digest     = "{DIGEST}"
  emails                  = ["somebody@example.org"]
  operator_principal_arns = ["arn:aws:iam::123456789012:role/somebody"]
}}
module "http" {{
  source              = "./examples/http"
  region              = "eu-west-1"
  worker_image_digest = "{DIGEST}"
  server_image_digest = "{DIGEST}"
  boxes               = 2
}}
module "beside-stereo-spot" {{
  source                 = "./examples/beside-stereo-spot"
  region                 = "eu-west-1"
  buckets                = {{ input = "a", output = "b" }}
  queues                 = {{ video-worker = "a", output-events = "b", reassembly = "c" }}
  dead_letters           = {{ video-worker = "a", output-events = "a", reassembly = "a" }}
  tables                 = {{ jobs = "a", segment-completions = "b", reassembly-triggered = "c", inference-invocations = "d" }}
  cluster_arn            = "{CLUSTER}"
  subnet_ids             = ["a"]
  security_group_ids     = ["b"]
  worker_image           = "{IMAGE}"
  endpoint_name          = "Films"
  endpoint_max_instances = 3
}}
module "data" {{
  source              = "./modules/data"
  name                = "films"
  cors_origins        = ["https://example.org"]
  streams             = true
  deletion_protection = false
  visibility_seconds  = {{ chunking = 900, reassembly = 3600 }}
  expiry_days         = {{ sources = 90, segments = null, results = 365 }}
}}
module "boxes" {{
  source             = "./modules/http"
  name               = "boxes"
  buckets            = module.data.buckets
  boxes              = 2
  image              = "{IMAGE}"
  subnet_ids         = ["a", "b"]
  security_group_ids = ["c"]
}}
module "elsewhere" {{
  source    = "./modules/http"
  name      = "elsewhere"
  buckets   = module.data.buckets
  elsewhere = ["https://example.org"]
}}
module "endpoint" {{
  source             = "./modules/endpoint"
  name               = "films"
  image              = "{IMAGE}"
  buckets            = module.data.buckets
  weights_s3_uri     = "s3://weights/films/"
  subnet_ids         = ["a"]
  security_group_ids = ["b"]
  volume_gib         = 100
}}
module "worker" {{
  source                     = "./modules/worker"
  name                       = "films"
  cluster_arn                = "{CLUSTER}"
  subnet_ids                 = ["a", "b"]
  security_group_ids         = ["c"]
  image                      = "{IMAGE}"
  buckets                    = module.data.buckets
  queues                     = module.data.queues
  dead_letters               = module.data.dead_letters
  tables                     = module.data.tables
  inference_backend          = "http"
  inference_http_urls        = concat(module.boxes.urls, module.elsewhere.urls)
  inference_http_allow_plain = module.boxes.allow_plain
  inference_http_token       = module.boxes.client_token
  inference_max_in_flight    = module.boxes.max_in_flight + module.elsewhere.max_in_flight
  segments                   = {{ roles = ["segments", "output-events", "reconcile", "chunking", "reassembly"] }}
  media                      = null
}}
module "observability" {{
  source       = "./modules/observability"
  name         = "films"
  queues       = module.data.queues
  dead_letters = module.data.dead_letters
  cluster_arn  = "{CLUSTER}"
  services     = module.worker.services
  pool         = module.worker.pool
}}
"""


def lines(text):
    """Lines without comments; the texts of here-documents are left as they are."""
    closing = None
    for line in text.splitlines():
        if closing is None:
            line = re.sub(r'^((?:[^"#]|"(?:[^"\\]|\\.)*")*)#.*$', r"\1", line).rstrip()
            begins = re.search(r"<<-?(\w+)$", line)
            closing = begins and begins.group(1)
        elif line.strip() == closing:
            closing = None
        yield line


def balance(line):
    bare = re.sub(r'"(?:[^"\\$]|\\.|\$\{[^}]*\}|\$)*"', '""', line)
    return sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}"))


def rest_of(some, at, depth, closing):
    """The line after what is open at `at`: brackets, or a here-document."""
    while depth > 0 or closing:
        line = some[at]
        if closing:
            closing = None if line.strip() == closing else closing
        else:
            begins = re.search(r"<<-?(\w+)$", line)
            closing = begins and begins.group(1)
            depth += balance(line)
        at += 1
    return at


def items(some):
    """(kind, name, labels, content) of a body, which is laid out as `terraform fmt` does."""
    at = 0
    while at < len(some):
        line = some[at]
        block = re.match(r'\s*(\w+)((?: "[^"]+")*) \{(\})?$', line)
        attribute = re.match(r"\s*([\w-]+)\s*=\s*(.*)$", line)
        if not line.strip():
            at += 1
        elif block:
            end = at + 1 if block.group(3) else rest_of(some, at + 1, 1, None)
            yield "block", block.group(1), re.findall(r'"([^"]+)"', block.group(2)), some[at + 1 : end - 1]
            at = end
        elif attribute:
            begins = re.search(r"<<-?(\w+)$", line)
            end = rest_of(some, at + 1, balance(attribute.group(2)), begins and begins.group(1))
            yield "attribute", attribute.group(1), [], "\n".join([attribute.group(2), *some[at + 1 : end]])
            at = end
        else:
            raise ValueError(f"cannot read {line!r}")


def looped(name, body):
    """A dynamic block as a list of objects."""
    parts = {part: content for _, part, _, content in items(body)}
    one = re.sub(rf"(?<![\w.]){name}\.(key|value)\b", rf"{name}__\1", an_object(parts["content"]))
    return f"[for {name}__key, {name}__value in {parts['for_each']} : {one}]"


def an_object(body):
    """A body as an object: attributes as they are, blocks as lists."""
    attributes, blocks = [], {}
    for kind, name, labels, content in items(body):
        if kind == "attribute" and name not in ABOUT_BLOCKS:
            attributes.append(f"{name} = {content}")
        elif kind == "block" and name == "dynamic":
            blocks.setdefault(labels[0], []).append(looped(labels[0], content))
        elif kind == "block" and name != "lifecycle":
            blocks.setdefault(name, []).append(f"[{an_object(content)}]")
    attributes += [f"{name} = concat({', '.join(some)})" for name, some in blocks.items()]
    return "{\n" + "\n".join(attributes) + "\n}"


def loops_of(body):
    """What is written after `for_each` and `count`."""
    return {name: content for kind, name, _, content in items(body) if kind == "attribute" and name in ("for_each", "count")}


def a_local(section, body):
    """A resource as a value, or as the map or list of values that its loop makes."""
    loops = loops_of(body)
    known = ", ".join(f"{name} = {value}" for name, value in (KNOWN if section == "data" else UNKNOWN).items())
    value = f"merge({{ {known} }}, {an_object(body)})"
    if "for_each" in loops:
        value = re.sub(r"(?<![\w.])each\.(key|value)\b", r"each__\1", value)
        return f"{{ for each__key, each__value in {loops['for_each']} : each__key => {value} }}"
    if "count" in loops:
        return f"[for count__index in range({loops['count']}) : {value.replace('count.index', 'count__index')}]"
    return value


def without_provider(module):
    """The text of a module in which locals are in the place of resources."""
    text, names = 'resource "terraform_data" "unknown" {}\n', []
    for file in module.files.values():
        for _, section, labels, body in items(list(lines(file))):
            if section in ("resource", "data"):
                kind, name = labels
                names.append((section, kind, name))
                text += f"locals {{\n{section}__{kind}__{name} = {a_local(section, body)}\n}}\n"
                for loop, content in loops_of(body).items():
                    text += f'resource "terraform_data" "{section}__{kind}__{name}" {{\n{loop} = {content}\n}}\n'
            elif section not in ("terraform", "provider"):
                quoted = " ".join(f'"{label}"' for label in labels)
                text += f"{section} {quoted} {{\n" + "\n".join(body) + "\n}\n"
    for section, kind, name in names:
        before = r"(?<![\w.])data\." if section == "data" else r"(?<![\w.])"
        text = re.sub(rf"{before}{kind}\.{name}\b", f"local.{section}__{kind}__{name}", text)
    return text


def plan(folder):
    """What Terraform finds wrong with a root."""
    environment = dict(os.environ, TF_CLI_CONFIG_FILE=os.devnull, TF_IN_AUTOMATION="1", CHECKPOINT_DISABLE="1")
    for command in (["init", "-backend=false"], ["plan", "-lock=false", "-refresh=false"]):
        command = ["terraform", *command, "-input=false", "-no-color"]
        ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        if ran.returncode:
            yield f"terraform {command[1]}: " + re.sub(r"\s+", " ", ran.stderr)
            return


def check(tree):
    """Faults, or None where Terraform is not installed."""
    if not shutil.which("terraform"):
        return None
    with tempfile.TemporaryDirectory() as name:
        for path, module in tree.modules.items():
            folder = Path(name, path)
            folder.mkdir(parents=True)
            (folder / "all.tf").write_text(without_provider(module))
            for template, text in module.templates.items():
                (folder / template).write_text(text)
        Path(name, "all.tf").write_text(ROOT)
        return list(plan(name))
