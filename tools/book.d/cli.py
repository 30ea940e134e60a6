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


def _sections(binaries, words):
    text = _help(binaries, words)
    yield f"{'#' * (len(words) + 1)} {' '.join(words)}\n\n```text\n{text}\n```\n"
    for name in _subcommands(text):
        yield from _sections(binaries, [*words, name])


def page(binaries):
    """The page, as Markdown."""
    return "\n".join([HEAD, *(part for program in PROGRAMS for part in _sections(binaries, [program]))])


def variables(binaries):
    """The variables that each program reads, by its help."""
    for program in PROGRAMS:
        said, waiting = set(), [[program]]
        while waiting:
            words = waiting.pop()
            text = _help(binaries, words)
            said |= set(re.findall(r"\[env: ([A-Z0-9_]+)=", text))
            waiting += [[*words, name] for name in _subcommands(text)]
        yield program, sorted(said)
