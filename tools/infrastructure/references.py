"""What a module names is there, as far as that can be told without the provider."""

import re


# Values that a provider before some version refuses, because it knows the API as it was then.
SINCE = {"al2023-ami-sagemaker-inference-gpu-4-1": (6, 38)}


def code(module):
    """Text without comments and without the literal parts of strings."""
    bare = re.sub(r"<<-?(\w+)\n.*?\n\s*\1\n", "\n", module.text, flags=re.S)
    kept = []
    for string in re.split(r'("(?:[^"\\$]|\\.|\$\{(?:[^{}]|\{[^{}]*\})*\}|\$)*")', bare):
        if string.startswith('"'):
            string = " ".join(re.findall(r"\$\{((?:[^{}]|\{[^{}]*\})*)\}", string))
        kept.append(string)
    return " ".join(kept)


def names(path, module):
    text = code(module)
    for kind, known in (("var", set(module.variables)), ("local", set(module.locals))):
        used = set(re.findall(rf"(?<![\w.]){kind}\.(\w+)", text))
        for name in sorted(used - known):
            yield f"{path}: {kind}.{name} is not declared"
        for name in sorted(known - used):
            yield f"{path}: {kind}.{name} is never used"
    for section, prefix in (("resource", r"(?<![\w.])"), ("data", r"(?<![\w.])data\.")):
        known = {(kind, name) for kind, name, _ in module.resources(section=section)}
        for kind, name in sorted(set(re.findall(prefix + r"(aws_\w+)\.(\w+)", text)) - known):
            yield f"{path}: {section} {kind}.{name} is not declared"


def calls(tree, path, module):
    text = code(module)
    known = {}
    for name, call in module.blocks("module"):
        source = (module.folder / call["source"]).resolve().relative_to((tree.root / "terraform").resolve()).as_posix()
        if source not in tree.modules:
            yield f"{path}: module {name} is of {source}, which is not there"
            continue
        called = known[name] = tree.modules[source]
        arguments = {key for key in call if not key.startswith("__")} - {"source", "providers", "count", "for_each", "depends_on"}
        for argument in sorted(arguments - set(called.variables)):
            yield f"{path}: module {name} is given {argument}, which {source} does not know"
        for variable, body in called.variables.items():
            if "default" not in body and variable not in arguments:
                yield f"{path}: module {name} is not given {variable}"
    for name, output in sorted(set(re.findall(r"(?<![\w.])module\.(\w+)\.(\w+)", text))):
        if name not in known or output not in known[name].outputs:
            yield f"{path}: module.{name}.{output} is not there"


def manners(path, module):
    for kind, blocks in (("variable", module.variables), ("output", module.outputs)):
        for name, body in blocks.items():
            if not body.get("description"):
                yield f"{path}: {kind} {name} has no description"
            if kind == "variable" and "type" not in body:
                yield f"{path}: variable {name} has no type"
    if re.search(r"arn:aws:", module.text):
        yield f"{path}: arn:aws: is one partition of several"
    if re.search(r'"\d{12}"', module.text):
        yield f"{path}: the number of an account"
    providers = [some for terraform in module.documents for some in terraform.get("terraform", [])]
    pinned = [version["version"] for some in providers for block in some["required_providers"] for version in block.values() if isinstance(version, dict)]
    if not pinned or not all("<" in version or "~>" in version for version in pinned):
        yield f"{path}: the provider has no upper bound"


def floors(tree):
    """All ask for one provider, which knows every value that stands in one of them."""
    found = {}
    for path, module in tree.modules.items():
        for version in re.findall(r'(?<!required_)version\s*=\s*">= (\d+)\.(\d+)', module.text):
            found.setdefault(tuple(map(int, version)), []).append(path)
    for floor, paths in sorted(found.items())[:-1]:
        yield f"{paths[0]}: asks for a provider of {floor}, others for a later one"
    for value, since in SINCE.items():
        for path, module in tree.modules.items():
            if value in module.text and min(found) < since:
                yield f"{path}: providers before {since} refuse {value}"


def check(tree):
    faults = list(floors(tree))
    for path, module in tree.modules.items():
        faults += [*names(path, module), *calls(tree, path, module), *manners(path, module)]
    return faults
