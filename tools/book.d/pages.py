"""The book's pages as text: which there are, their headings, links and blocks of code."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Pages that stand at the root of the repository, where whoever opens it looks for them.
AT_ROOT = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
SUMMARY = ROOT / "docs" / "SUMMARY.md"

FENCE = re.compile(r"^( *)(`{3,}|~{3,})([^`]*)$")
LINK = re.compile(r"(?<!\\)!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+(?:\([^()\s]*\))?)(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"(`+)(?:(?!\1).)*?\1")


@dataclass
class Block:
    """A block of code: where it stands, what it calls itself, and its text."""

    page: Path
    line: int
    info: str
    text: str


def all_pages():
    """Every page that a reader is meant to find, the summary left out."""
    below = sorted(p for p in (ROOT / "docs").rglob("*.md") if p != SUMMARY)
    return [ROOT / name for name in AT_ROOT if (ROOT / name).exists()] + below


def others():
    """Markdown beside the tools, which is checked and not part of the book."""
    return sorted(p for p in (ROOT / "tools").rglob("*.md"))


def prose(path):
    """Lines of a page with their numbers, blocks of code left out."""
    closing = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if closing is None and fence:
            closing = fence[2]
        elif closing is not None:
            if line.strip().startswith(closing) and not line.strip().strip(closing[0]):
                closing = None
        else:
            yield number, line


def blocks(path):
    """The fenced blocks of code of a page."""
    found, closing = None, None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if closing is None and fence:
            closing, found = fence[2], Block(path, number, fence[3].strip(), "")
        elif closing is not None:
            if line.strip().startswith(closing) and not line.strip().strip(closing[0]):
                yield found
                closing = None
            else:
                found.text += line + "\n"


def links(path):
    """Where the links and pictures of a page point, with their lines."""
    for number, line in prose(path):
        for match in LINK.finditer(CODE.sub(lambda code: "x" * len(code[0]), line)):
            # The text of the line itself: what looks like code within an address was blanked.
            yield number, line[match.start(1) : match.end(1)]


def anchors(path):
    """What `#` may name in a page: its headings as GitHub and mdBook spell them."""
    seen, result = {}, set()
    for _, line in prose(path):
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if not heading:
            continue
        name = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).replace("`", "")
        name = re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-")
        count = seen.get(name, 0)
        seen[name] = count + 1
        result.add(name if count == 0 else f"{name}-{count}")
    return result
