"""Terraform files as Python values: modules by the name of their folder.

Expressions stay text, as the parser gives them: nothing here evaluates Terraform.
"""

import functools
import re

import hcl2


@functools.lru_cache(maxsize=None)
def parse(text):
    return hcl2.loads(text)


@functools.lru_cache(maxsize=None)
def unchanged(path, _time, _size):
    return path.read_text()


def text_of(path):
    """A file's text, which is read again only when it has changed."""
    stat = path.stat()
    return unchanged(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=None)
def without_tests(text):
    return text.split("#[cfg(test)]")[0]


class Module:
    """The files of one folder."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {path.name: text_of(path) for path in sorted(folder.glob("*.tf"))}
        self.documents = [parse(text) for text in self.files.values()]
        self.templates = {path.name: path.read_text() for path in sorted(folder.glob("*.tftpl"))}

    @property
    def text(self):
        """All that is written, without comments."""
        return "\n".join(re.sub(r"(?m)(^|\s)#.*$", "", text) for text in self.files.values())

    def blocks(self, section):
        """(name, body) of what has one label: variables, outputs, calls of modules."""
        for document in self.documents:
            for block in document.get(section, []):
                yield from block.items()

    def resources(self, kind=None, section="resource"):
        """(kind, name, body) of resources, or with the section `data` of what is looked up."""
        for document in self.documents:
            for block in document.get(section, []):
                for found, named in block.items():
                    if kind in (None, found):
                        for name, body in named.items():
                            yield found, name, body

    @property
    def locals(self):
        return {name: value for document in self.documents for some in document.get("locals", []) for name, value in some.items()}

    @property
    def variables(self):
        return dict(self.blocks("variable"))

    @property
    def outputs(self):
        return dict(self.blocks("output"))


class Tree:
    """A checkout: Terraform, and what it has to agree with."""

    def __init__(self, root):
        self.root = root
        folders = sorted({path.parent for path in (root / "terraform").rglob("*.tf")})
        self.modules = {folder.relative_to(root / "terraform").as_posix(): Module(folder) for folder in folders}

    def module(self, name):
        return self.modules[f"modules/{name}"]

    def read(self, path):
        return text_of(self.root / path)

    def rust(self, folder):
        """(path, text without tests) of a folder's sources."""
        for path in sorted((self.root / folder).rglob("*.rs")):
            if path.name != "tests.rs" and "tests" not in path.relative_to(self.root / folder).parts[:-1]:
                yield path.relative_to(self.root), without_tests(text_of(path))


def keys_in(value):
    """Names of variables of an environment that are keys in a local's text or value."""
    return set(re.findall(r"\b([A-Z][A-Z0-9_]+)\b['\"]?\s*[=:](?!=)", str(value)))


def actions_in(document):
    """(sid, actions, statement) of a policy document's statements, those that are made in a loop too."""
    statements = list(document.get("statement", []))
    for dynamic in document.get("dynamic", []):
        statements += dynamic.get("statement", {}).get("content", [])
    for statement in statements:
        yield statement.get("sid", ""), statement.get("actions", []), statement
