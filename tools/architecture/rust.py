"""Reads Rust files as far as imports need it: modules, the names they define, paths in their code."""

import pathlib
import re

TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*.*?\*/)
      |(?P<text>b?r(?P<hash>\#*)".*?"(?P=hash)|[bc]?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\])')
      |(?P<life>'\w+)
      |(?P<word>(?:r\#)?[A-Za-z_]\w*)
      |(?P<mark>::|=>|->|\d[\w.]*|.)""",
    re.VERBOSE | re.DOTALL,
)
OPEN, CLOSE = set("([{"), set(")]}")
DEFINERS = {"fn", "struct", "enum", "union", "trait", "type", "const", "static", "macro_rules"}


class Module:
    """One module: where it is, what it declares, and what its code names."""

    def __init__(self, file, parent, directory):
        self.file, self.parent, self.directory = file, parent, directory
        self.children, self.defined = {}, set()
        self.aliases = {}  # name -> (path, re-exported)
        self.globs = []  # paths whose every name is imported
        self.uses = []  # (path, line): private imports
        self.paths = []  # (path, line): what the code names, single words too
        self.impls = []  # paths of types that have methods of their own here

    def root(self):
        return self if self.parent is None else self.parent.root()

    def walk(self):
        yield self
        for child in self.children.values():
            yield from child.walk()


def tokens(source):
    """`(text, line)` of everything that is no space, comment or literal; literals are `""`."""
    out, line = [], 1
    for match in TOKEN.finditer(source):
        text = match.group()
        if match.lastgroup == "word":
            out.append((text.removeprefix("r#"), line))
        elif match.lastgroup == "mark":
            out.append((text, line))
        elif match.lastgroup != "skip" and match.group("life") is None:
            out.append(('""', line))
        line += text.count("\n")
    return out


def group_end(tokens, start):
    """The index after the bracket that closes the one at `start`."""
    depth = 0
    for index in range(start, len(tokens)):
        text = tokens[index][0]
        depth += (text in OPEN) - (text in CLOSE)
        if depth == 0:
            return index + 1
    return len(tokens)


def item_end(tokens, start):
    """The index after the item, statement, field or arm that begins at `start`."""
    index, ends_with_brace = start, True
    while index < len(tokens):
        text = tokens[index][0]
        if text in ("use", "="):
            ends_with_brace = False
        if text in OPEN:
            index = group_end(tokens, index)
            if text == "{" and ends_with_brace:
                return index
            continue
        if text in CLOSE:
            return index
        index += 1
        if text in (";", ","):
            return index
    return index


def is_test(attribute):
    """Whether `cfg(test)`, alone or within `all`, is what this attribute says."""
    words = [text for text, _ in attribute]
    return words[:2] == ["cfg", "("] and "test" in words and "not" not in words and "any" not in words


def crate_paths(attribute):
    """The paths of an attribute that begin at `crate` or `super`."""
    out, inside = [], False
    for index, (text, line) in enumerate(attribute):
        joined = index + 1 < len(attribute) and attribute[index + 1][0] == "::"
        inside = inside and (text == "::" or out[-1][0] == "::") or text in ("crate", "super") and joined
        if inside:
            out.append((text, line))
    return out


def without_tests(tokens):
    """The tokens without what only tests compile; of attributes, such as clap's, the paths in this crate."""
    out, index = [], 0
    while index < len(tokens):
        if tokens[index][0] == "#" and index + 1 < len(tokens) and tokens[index + 1][0] in ("[", "!"):
            begin = index + 1 + (tokens[index + 1][0] == "!")
            end = group_end(tokens, begin)
            test = is_test(tokens[begin + 1 : end - 1])
            index = end
            if not test:
                out += crate_paths(tokens[begin + 1 : end - 1])
            else:
                while index < len(tokens) and tokens[index][0] == "#":
                    index = group_end(tokens, index + 1)
                index = item_end(tokens, index)
        else:
            out.append(tokens[index])
            index += 1
    return out


def read_crate(main):
    """The module tree under a crate's `lib.rs` or `main.rs`."""
    main = pathlib.Path(main)
    return read_file(main, None, main.parent)


def read_file(file, parent, directory):
    module = Module(file, parent, directory)
    fill(module, without_tests(tokens(file.read_text(encoding="utf-8"))))
    return module


def child_file(module, name):
    for file in (module.directory / f"{name}.rs", module.directory / name / "mod.rs"):
        if file.exists():
            return file
    return None


def fill(module, code):
    """Sorts a module's tokens into declarations, imports and paths."""
    index, depth, public = 0, 0, False
    while index < len(code):
        text, line = code[index]
        if text == "use" and (index == 0 or code[index - 1][0] in "};{)" or code[index - 1][0] == "pub"):
            end = item_end(code, index)
            for path, name in use_tree(code[index + 1 : end - 1]):
                note_use(module, path, name, public, line)
            index, public = end, False
        elif depth == 0 and text == "pub":
            public = True
            index += 1
            if index < len(code) and code[index][0] == "(":
                index = group_end(code, index)
        elif depth == 0 and text == "mod":
            index, public = declare(module, code, index), False
        elif depth == 0 and text == "impl":
            note_impl(module, code, index)
            index += 1
        elif text in OPEN or text in CLOSE:
            depth += 1 if text in OPEN else -1
            index += 1
        elif depth == 0 and text in DEFINERS:
            index, public = define(module, code, index), False
        else:
            index = note_path(module, code, index)


def declare(module, code, index):
    """Takes `mod name;` or `mod name { … }`, and gives the index after it."""
    name, after = code[index + 1][0], index + 2
    if code[after][0] == "{":
        end = group_end(code, after)
        child = Module(module.file, module, module.directory / name)
        module.children[name] = child
        fill(child, code[after + 1 : end - 1])
        return end
    file = child_file(module, name)
    if file is not None:
        module.children[name] = read_file(file, module, module.directory / name)
    return after + 1


def define(module, code, index):
    """Takes the name that a word such as `struct` defines; the body is read as any code."""
    after = index + 1
    if code[after][0] in ("!", "mut"):
        after += 1
    if re.match(r"\w", code[after][0]) and code[after][0] not in DEFINERS:
        module.defined.add(code[after][0])
        return after + 1
    return index + 1


def note_impl(module, code, index):
    """Notes the type of `impl Type {`; an implementation of a trait is none of its own."""
    path, angles = [], 0
    for text, _ in code[index + 1 :]:
        if text in ("{", "for", "where") and angles == 0:
            if text != "for" and path:
                module.impls.append(tuple(path))
            return
        angles += (text == "<") - (text == ">")
        if angles == 0 and re.match(r"[A-Za-z_]", text):
            path.append(text)


def note_path(module, code, index):
    text, line = code[index]
    if not re.match(r"[A-Za-z_]", text):
        return index + 1
    before = code[index - 1][0] if index else ""
    path, index = [text], index + 1
    while index + 1 < len(code) and code[index][0] == "::" and re.match(r"[A-Za-z_]", code[index + 1][0]):
        path.append(code[index + 1][0])
        index += 2
    if before not in (".", "::"):
        module.paths.append((tuple(path), line))
    return index


def note_use(module, path, name, public, line):
    if name == "*":
        module.globs.append(path)
    elif name != "_":
        module.aliases.setdefault(name, (path, public))
    if not public:
        module.uses.append((path, line))


def use_tree(code):
    """Every `(path, name)` of a use tree's tokens; the name of a glob is `*`."""
    prefix, index = [], 0
    while index < len(code):
        text = code[index][0]
        if text == "{":
            inner, start, depth = [], index + 1, 0
            for at in range(index + 1, group_end(code, index)):
                mark = code[at][0]
                if depth == 0 and mark in (",", "}"):
                    inner += use_tree(code[start:at])
                    start = at + 1
                depth += (mark == "{") - (mark == "}")
            return [rebase(prefix, path, name) for path, name in inner]
        if text == "*":
            return [(tuple(prefix), "*")]
        if text == "as":
            return [(tuple(prefix), code[index + 1][0])]
        if text != "::":
            prefix.append(text)
        index += 1
    return [(tuple(prefix), prefix[-1])] if prefix else []


def rebase(prefix, path, name):
    if path == ("self",) and prefix:
        return tuple(prefix), prefix[-1] if name == "self" else name
    return tuple(prefix) + path, name
