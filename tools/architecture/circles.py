"""Circles of imports between the files of one crate."""

import pathlib

import rust


def lookup(module, name, last, seen):
    """What `name` is in `module`: a module, the file that defines it, or None.

    A module and a function may share a name; within a path it is the module, at its end the other.
    """
    key = (module, name, last)
    if key in seen:
        return None
    seen.add(key)
    if not last and name in module.children:
        return module.children[name]
    if name in module.defined:
        return module.file
    if name in module.aliases:
        found = resolve(module, module.aliases[name][0], seen)
        if found is not None:
            return found
    if name in module.children:
        return module.children[name]
    for path in module.globs:
        target = resolve(module, path, seen)
        found = lookup(target, name, last, seen) if isinstance(target, rust.Module) else None
        if found is not None:
            return found
    return None


def resolve(module, path, seen=None):
    """The file that defines what `path` names in `module`'s code, a module, or None if it is no
    name of this crate."""
    seen = set() if seen is None else seen
    at = module
    for index, name in enumerate(path):
        if name == "crate":
            at = module.root()
        elif name == "super":
            at = at.parent
        elif name != "self":
            at = lookup(at, name, index + 1 == len(path), seen)
        if not isinstance(at, rust.Module):
            return at
    return at


def edges(root):
    """`{(importing file, defining file): line}` of a crate."""
    out = {}
    for module in root.walk():
        for path, line in module.uses + module.paths:
            target = resolve(module, path)
            if isinstance(target, pathlib.Path) and target != module.file:
                out.setdefault((module.file, target), line)
    return out


def components(edges):
    """Sets of files that all reach one another (Tarjan), of two and more."""
    graph = {}
    for source, target in edges:
        graph.setdefault(source, []).append(target)
    index, low, stack, on, out = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for target in graph.get(node, []):
            if target not in index:
                visit(target)
            if target in on:
                low[node] = min(low[node], low[target])
        if low[node] == index[node]:
            found = set()
            while node not in found:
                found.add(stack.pop())
            on.difference_update(found)
            if len(found) > 1:
                out.append(found)

    for node in list(graph):
        if node not in index:
            visit(node)
    return out


def shortest(component, edges):
    """The files of a shortest circle within a component, the first one again at the end."""
    inner = [(s, t) for s, t in edges if s in component and t in component]
    best = None
    for start in sorted(component):
        ways, seen = [[start]], set()
        while ways:
            way = ways.pop(0)
            for target in sorted(t for s, t in inner if s == way[-1]):
                if target == start and (best is None or len(way) + 1 < len(best)):
                    best = way + [start]
                if target not in seen:
                    seen.add(target)
                    ways.append(way + [target])
    return best


def crate_roots(workspace):
    kinds = {"lib", "bin", "proc-macro"}
    for package in workspace["packages"]:
        for target in package["targets"]:
            if kinds & set(target["kind"]):
                yield pathlib.Path(target["src_path"])


def check(workspace, root):
    """One sentence for each circle."""
    faults = []
    for main in crate_roots(workspace):
        found = edges(rust.read_crate(main))
        faults += [describe(component, found, root) for component in components(found)]
    return faults


def describe(component, edges, root):
    way = shortest(component, edges)
    steps = [f"{say(s, root)}:{edges[s, t]} -> {say(t, root)}" for s, t in zip(way, way[1:])]
    rest = len(component) - len(way) + 1
    more = f" (and {rest} more files in the knot)" if rest else ""
    return "a circle of imports" + more + ":\n    " + "\n    ".join(steps)


def say(file, root):
    return str(file.relative_to(root))
