"""Planted faults, each of which has to be found, and a page without any."""

import tempfile
from pathlib import Path

import cli
import links
import pages
import snippets
import usage

GOOD = """\
# A page

## Its heading

See [the heading](#its-heading), [itself](page.md) and [a part](page.md#its-heading). `[no](link.md)` is code.

```sh run
parallax doctor
```

```text
[neither](is-this.md)
```
"""
FAULTS = [
    ("(page.md)", "(gone.md)", "nothing is at gone.md"),
    ("(#its-heading)", "(#another)", "names no heading"),
    ("(page.md#its-heading)", "(page.md#gone)", "names no heading"),
    ("```sh run", "```sh", "a block of commands is one of"),
    ("```sh run", "```bash", "commands are in `sh`"),
    ("parallax doctor", "parallax cure", "has no command cure"),
    ("parallax doctor", "parallax doctor --thorough", "parallax doctor has no --thorough"),
]


def _said(text, summary):
    """What the checks say of a book of one page."""
    before = pages.ROOT, pages.SUMMARY, cli.commands
    with tempfile.TemporaryDirectory(prefix="parallax-book-") as name:
        pages.ROOT = Path(name).resolve()
        pages.SUMMARY = pages.ROOT / "docs" / "SUMMARY.md"
        known = {"parallax": "", "video-worker": "", "inference-server": ""}
        cli.commands = lambda _, words: [(words, known[words[0]]), ([*words, "doctor"], "  --json  As JSON")]
        pages.SUMMARY.parent.mkdir()
        pages.SUMMARY.write_text(summary)
        (pages.SUMMARY.parent / "page.md").write_text(text)
        try:
            checks = [links.broken(), links.summary_gaps(), snippets.unlabelled(), usage.wrong(None)]
            return [one for check in checks for one in check]
        finally:
            pages.ROOT, pages.SUMMARY, cli.commands = before


def missed():
    """Faults that nothing found, and what was found where there was none."""
    summary = "- [A page](page.md)\n"
    for one in _said(GOOD, summary):
        yield f"a good page is said to be wrong: {one}"
    for good, bad, wanted in FAULTS:
        if not any(wanted in one for one in _said(GOOD.replace(good, bad, 1), summary)):
            yield f"a planted fault was not found: {bad} for {good}"
    if not any("stands there not" in one for one in _said(GOOD, "")):
        yield "a page that the summary lacks was not found"
