"""Links of the book and its summary: everything that they name is there."""

from urllib.parse import unquote

import pages


def _target(page, address):
    """What a link names, as a file or folder and an anchor; nothing for addresses of the network."""
    if "://" in address or address.startswith("mailto:"):
        return None
    file, _, anchor = address.partition("#")
    return (page.parent / unquote(file)).resolve() if file else page, anchor


def broken():
    """What is wrong with a link, page by page."""
    for page in pages.all_pages() + pages.others() + [pages.SUMMARY]:
        where = page.relative_to(pages.ROOT)
        for number, address in pages.links(page):
            target = _target(page, address)
            if target is None:
                continue
            file, anchor = target
            if not file.exists():
                yield f"{where}:{number}: nothing is at {address}"
            elif not file.is_relative_to(pages.ROOT):
                yield f"{where}:{number}: {address} is outside of the repository"
            elif anchor and file.suffix == ".md" and anchor not in pages.anchors(file):
                yield f"{where}:{number}: {address} names no heading"


def summary_gaps():
    """Pages that the summary lacks, or names twice."""
    named = []
    for _, address in pages.links(pages.SUMMARY):
        named.append((pages.SUMMARY.parent / address).resolve())
    for page in pages.all_pages():
        if named.count(page) != 1:
            how = "not" if page not in named else "more than once"
            yield f"docs/SUMMARY.md: {page.relative_to(pages.ROOT)} stands there {how}"
