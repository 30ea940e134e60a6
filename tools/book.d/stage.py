"""Lays the pages out for mdBook, whose sources are one folder, while ours are `docs` and the root.

Paths stay as they are in the repository, so links between pages stay right. Links to what is no page
(a folder, a program's source) become text: the book has no copy of it.
"""

import shutil
from pathlib import Path

import pages


def _linked_text(page, line, kept):
    """A line whose links to what the book lacks are text. mdBook calls a folder's README its index."""
    for match in reversed(list(pages.LINK.finditer(line))):
        address = match[1]
        if "://" in address or address.startswith(("#", "mailto:")) or match[0].startswith("!"):
            continue
        if (page.parent / address.partition("#")[0]).resolve() not in kept:
            text = match[0][1 : match[0].rindex("](")]
            line = line[: match.start()] + text + line[match.end() :]
        elif "README.md" in address:
            line = line[: match.start(1)] + address.replace("README.md", "index.md") + line[match.end(1) :]
    return line


def _copy(page, folder, kept):
    target = folder / page.relative_to(pages.ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    numbered = dict(pages.prose(page))
    lines = page.read_text().splitlines()
    changed = [_linked_text(page, line, kept) if n in numbered else line for n, line in enumerate(lines, 1)]
    target.write_text("\n".join(changed) + "\n")


def _summary(folder):
    """The summary, with addresses as seen from the root."""
    text = pages.SUMMARY.read_text()
    for _, address in pages.links(pages.SUMMARY):
        seen = (pages.SUMMARY.parent / address).resolve().relative_to(pages.ROOT)
        text = text.replace(f"]({address})", f"]({seen})")
    (folder / "SUMMARY.md").write_text(text)


def lay_out(folder: Path):
    """Writes into `folder` what `mdbook build` takes."""
    shutil.rmtree(folder, ignore_errors=True)
    source = folder / "pages"
    source.mkdir(parents=True)
    shutil.copy(pages.ROOT / "docs" / "book.toml", folder / "book.toml")
    kept = set(pages.all_pages())
    for page in kept:
        _copy(page, source, kept)
    for picture in (pages.ROOT / "docs").rglob("*"):
        if picture.suffix in {".png", ".jpg", ".svg"}:
            target = source / picture.relative_to(pages.ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(picture, target)
    _summary(source)
