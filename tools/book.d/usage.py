"""Commands that the pages name, in text and in blocks: the programs know each subcommand and option."""

import re
import shlex

import cli
import pages

SPAN = re.compile(r"(`+)((?:(?!\1).)+?)\1")
# A program where a shell expects one: at the beginning, after another command or an assignment.
COMMAND = re.compile(
    r"(?:^|\$\(|&& |\|\|? |; )\s*(?:[A-Z_]+=\S+\s+)*(?:[\w./-]+/)?(" + "|".join(cli.PROGRAMS) + r")(\s.*)$"
)
# Where a command ends and something else of the shell begins.
END = re.compile(r"[|;&<>)]|\s#|\s\[")


def _spoken(page):
    """Pieces of a page that may be a command, with their lines."""
    for number, line in pages.prose(page):
        for match in SPAN.finditer(line):
            yield number, match[2]
    for block in pages.blocks(page):
        if block.info.split()[:1] == ["sh"]:
            for offset, line in enumerate(block.text.replace("\\\n", "  ").splitlines()):
                yield block.line + 1 + offset, line


def _words(text):
    """The words of a command of ours, where one stands as a command in a text."""
    found = COMMAND.search(text)
    if not found:
        return None
    rest = END.split(found[2], maxsplit=1)[0]
    try:
        return [found[1], *shlex.split(rest)]
    except ValueError:
        return [found[1], *rest.split()]


def wrong(binaries):
    """Subcommands and options that no program has."""
    known = {}
    for program in cli.PROGRAMS:
        for words, text in cli.commands(binaries, [program]):
            known[tuple(words)] = set(re.findall(r"--[a-z][a-z0-9-]*|(?<![\w-])-[a-zA-Z]\b", text))
    for page in pages.all_pages():
        # What an earlier version had may be told.
        if page.name == "CHANGELOG.md":
            continue
        for number, text in _spoken(page):
            words = _words(text)
            if words is None:
                continue
            where = f"{page.relative_to(pages.ROOT)}:{number}"
            command, rest = (words[0],), words[1:]
            while rest and (*command, rest[0]) in known:
                command, rest = (*command, rest[0]), rest[1:]
            for word in rest:
                option = word.split("=")[0]
                if re.fullmatch(r"--[a-z][a-z0-9-]*", option) and option not in known[command]:
                    yield f"{where}: {' '.join(command)} has no {option}"
            takes_commands = any(k[:-1] == command for k in known)
            if takes_commands and rest and re.fullmatch(r"[a-z][a-z-]+", rest[0]):
                yield f"{where}: {' '.join(command)} has no command {rest[0]}"
