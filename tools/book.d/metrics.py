"""The reference of the server's metrics, from the constants that name them and the comments above these."""

import re

import pages

HEAD = """\
# Metrics of inference-server

Written by `tools/book-reference` from the constants that name them; do not edit. The server answers with them at
`/metrics` of `HEALTH_ADDRESS`; [its page](../ops/inference-server.md#watching) says what they are for.

| metric | meaning |
| --- | --- |
"""
NAMED = re.compile(r"((?:^[ \t]*///[^\n]*\n)+)[ \t]*(?:pub(?:\([a-z]+\))? )?const [A-Z_]+: &str =\s*\"(parallax_serving_[a-z_]+)\";", re.M)
USED = re.compile(r"\.(?:count|gauge|observe)\(\s*\"(parallax_serving_[a-z_]+)\"")


def _sources():
    for folder in ("crates", "bin"):
        for path in sorted((pages.ROOT / folder).rglob("*.rs")):
            parts = path.relative_to(pages.ROOT).parts
            if "testing" not in parts and "tests" not in parts:
                # What stands below the tests of a file is no metric.
                yield path, path.read_text().partition("#[cfg(test)]")[0]


def _rows():
    found = {}
    for path, text in _sources():
        for comment, name in NAMED.findall(text):
            said = " ".join(line.strip().removeprefix("///").strip() for line in comment.splitlines() if line)
            found.setdefault(name, said)
    return found


def bare():
    """Metrics that are given without a constant whose comment says what they are."""
    known = _rows()
    for path, text in _sources():
        for name in USED.findall(text):
            if name not in known:
                yield f"{path.relative_to(pages.ROOT)}: {name} has no constant with a comment, of which the book tells"


def page():
    """The page, as Markdown."""
    return HEAD + "".join(f"| `{name}` | {text} |\n" for name, text in sorted(_rows().items()))
