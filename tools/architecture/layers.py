"""Arrows between crates: only downwards by folder."""

import pathlib

# What a crate of a folder may depend on beside its own folder. Written out rather than ranked:
# neighbours of one height (services and platform, core and models) do not know each other.
BELOW = {
    "runtime": set(),
    "core": {"runtime"},
    "models": {"runtime"},
    "testing": {"runtime", "core", "models"},
    "video": {"runtime", "core", "models"},
    "services": {"runtime", "core", "models", "video"},
    "platform": {"runtime", "core", "models", "video"},
    "engines": {"runtime", "core", "models", "video", "services", "platform"},
    "bin": {"runtime", "core", "models", "video", "services", "platform", "engines"},
}
# Hand tools and whole-system tests look at everything, and the product at none of them.
BESIDE = {"tools", "tests"}
UNRESTRICTED = {"workspace-hack"}


def layer(manifest, root):
    """The layer of the package with this manifest, or None where no rule places it."""
    parts = pathlib.Path(manifest).relative_to(root).parts
    if parts[0] == "crates":
        return parts[1] if parts[1] in BELOW else None
    return parts[0] if parts[0] in BESIDE | {"bin"} else None


def check(workspace, root):
    """One sentence for each arrow that points upwards or sideways, and each crate without a layer."""
    placed = {p["name"]: layer(p["manifest_path"], root) for p in workspace["packages"]}
    faults = [
        f"{name} is in no layer: add its folder to tools/architecture/layers.py"
        for name, at in placed.items()
        if at is None and name not in UNRESTRICTED
    ]
    for package in workspace["packages"]:
        for dependency in package["dependencies"]:
            name = dependency["name"]
            if name in placed and name not in UNRESTRICTED and package["name"] not in UNRESTRICTED:
                faults += arrow(package["name"], name, placed, dependency["kind"])
    return faults


def arrow(user, used, placed, kind):
    source, target = placed[user], placed[used]
    if source is None or target is None or user == used or source in BESIDE:
        return []
    if kind == "dev" and target in BESIDE | {"testing"}:
        return []
    if target == source or target in BELOW[source]:
        return []
    how = "a test dependency" if kind == "dev" else "a dependency"
    return [f"{user} ({source}) has {used} ({target}) as {how}: arrows point downwards"]
