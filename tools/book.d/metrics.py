"""The reference of metrics, from the constants that name them and the comments above these."""

import re

import pages

HEAD = """\
# Metrics

Written by `tools/book-reference` from the constants that name them; do not edit. Both daemons answer with theirs at
`/metrics` of `HEALTH_ADDRESS`; [the daemon's page](../ops/video-worker.md#what-to-watch) and
[the server's](../ops/inference-server.md#watching) say which to look at, [alarms](../ops/alarms.md) what to do.
"""
NAMED = re.compile(r"((?:^[ \t]*///[^\n]*\n)+)[ \t]*(?:pub(?:\([a-z]+\))? )?const [A-Z_]+: &str =\s*\"(parallax_[a-z_]+)\";", re.M)
USED = re.compile(r"\.(?:count|gauge|observe)\(\s*\"(parallax_[a-z_]+)\"")


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
    rows = sorted(_rows().items())
    parts = [HEAD]
    for title, mine in (
        ("video-worker", lambda name: not name.startswith("parallax_serving_")),
        ("inference-server", lambda name: name.startswith("parallax_serving_")),
    ):
        listed = "\n".join(f"| `{name}` | {text} |" for name, text in rows if mine(name))
        parts.append(f"## {title}\n\n| metric | meaning |\n| --- | --- |\n{listed}\n")
    return "\n".join(parts)
