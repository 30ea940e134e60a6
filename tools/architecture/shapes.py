"""Shapes that a reader can hold: how long a function is, over how many files a type's methods are
spread, and how much a tuple may hide."""

import re

import circles
import rust

LINES = 80  # of a function, its head and its braces included
FILES = 2  # with an `impl` of one type, its traits not counted
MEMBERS = 2  # of a tuple that is taken apart among a function's parameters


def functions(code):
    """`(name, line, lines, head)` of every function with a body."""
    for index, (text, line) in enumerate(code):
        if text != "fn" or index + 1 == len(code) or not re.match(r"[a-z_]", code[index + 1][0]):
            continue
        at = index + 2
        while at < len(code) and code[at][0] not in ("{", ";"):
            at = rust.group_end(code, at) if code[at][0] in ("(", "[") else at + 1
        if at < len(code) and code[at][0] == "{":
            last = code[rust.group_end(code, at) - 1][1]
            yield code[index + 1][0], line, last - line + 1, code[index + 2 : at]


def tuples(head):
    """The members of every tuple that a function's head takes apart."""
    starts = [at for at, (text, _) in enumerate(head) if text == "("]
    if not starts:
        return
    end = rust.group_end(head, starts[0])
    for at in starts[1:]:
        close = rust.group_end(head, at)
        if at < end and head[at - 1][0] in ("(", ",") and head[close][0] == ":":
            inner = [text for text, _ in head[at + 1 : close - 1]]
            yield [name for name in inner if re.match(r"\w", name) and name != "mut"]


def of_file(name, text):
    """One sentence for each function of a file that is too long or hides a structure."""
    for function, line, lines, head in functions(rust.tokens(text)):
        if lines > LINES:
            yield f"{name}:{line}: fn {function} has {lines} lines; {LINES} are allowed"
        for members in tuples(head):
            if len(members) > MEMBERS:
                what = ", ".join(members)
                yield f"{name}:{line}: fn {function} takes ({what}) apart: a structure has a name"


def spread(root):
    """`{(defining file, type): files with its methods}` of a crate."""
    out = {}
    for module in root.walk():
        for path in module.impls:
            target = circles.resolve(module, path)
            if target is not None and not isinstance(target, rust.Module):
                out.setdefault((target, path[-1]), set()).add(module.file)
    return out


def of_crate(main, root):
    """One sentence for each type whose methods are spread too far."""
    for (file, name), files in sorted(spread(rust.read_crate(main)).items()):
        if len(files) > FILES:
            where = ", ".join(sorted(circles.say(one, root) for one in files))
            yield f"{circles.say(file, root)}: {name} has methods in {len(files)} files: {where}"


def check(workspace, root, sources):
    """One sentence for each fault. `sources` are the files of the repository in Rust."""
    faults = []
    for file in sources:
        faults += of_file(circles.say(file, root), file.read_text(encoding="utf-8"))
    for main in circles.crate_roots(workspace):
        faults += of_crate(main, root)
    return faults
