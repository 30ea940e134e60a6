"""The reference of commands, from what the programs say of themselves."""

import os
import re
import subprocess

PROGRAMS = ["parallax", "video-worker", "inference-server"]
HEAD = """\
# Commands

Written by `tools/book-reference` from `--help` of the three programs; do not edit. Variables that a program
reads stand beside its flags, as `[env: NAME=]`; a flag counts more than its variable.
"""


def _help(binaries, words):
    """What a command says of itself where no variable is set and no terminal has a width."""
    environment = {"PATH": os.environ["PATH"], "HOME": "/home/you"}
    said = subprocess.run(
        [binaries / words[0], *words[1:], "--help"], env=environment, capture_output=True, text=True, check=True
    )
    return "\n".join(line.rstrip() for line in said.stdout.splitlines())


def _subcommands(text):
    listed = re.search(r"^Commands:\n((?:  .*\n)+)", text + "\n", re.M)
    names = re.findall(r"^  ([a-z][a-z-]*)", listed[1], re.M) if listed else []
    return [name for name in names if name != "help"]


def commands(binaries, words):
    """A command and those below it, each with what it says of itself."""
    text = _help(binaries, words)
    yield words, text
    for name in _subcommands(text):
        yield from commands(binaries, [*words, name])


def page(binaries):
    """The page, as Markdown."""
    parts = [HEAD]
    for program in PROGRAMS:
        for words, text in commands(binaries, [program]):
            parts.append(f"{'#' * (len(words) + 1)} {' '.join(words)}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def variables(binaries):
    """The variables that each program reads, by its help."""
    for program in PROGRAMS:
        said = set()
        for _, text in commands(binaries, [program]):
            said |= set(re.findall(r"\[env: ([A-Z0-9_]+)=", text))
        yield program, sorted(said)
