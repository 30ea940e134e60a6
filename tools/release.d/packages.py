"""The packages that a program is made of, by cargo's own word, and what they allow."""

import json
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = "x86_64-unknown-linux-gnu"


def cargo(*words):
    """What a command of cargo prints."""
    return subprocess.run(["cargo", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def version():
    """The version of the workspace."""
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]


def metadata():
    """Everything that cargo knows of the workspace for the release's target."""
    return json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET))


def checksums():
    """Digests of the archives that crates came in, by name and version."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(one["name"], one["version"]): one.get("checksum") for one in lock["package"]}


def tree(program):
    """Name and version of all that `cargo tree` sees linked into a program: the check of the walk below."""
    lines = cargo("tree", "--locked", "-p", program, "-e", "normal", "--target", TARGET, "--prefix", "none",
                  "--format", "{p}").splitlines()
    found = set()
    for line in lines:
        name, number = line.split()[:2]
        found.add((name, number.removeprefix("v")))
    return found


def linked(known, program):
    """Packages of a program and who needs whom, found by walking cargo's graph.

    What only builds or tests need is left out. Features are those of the whole workspace, so a package may be
    listed that this program has no code of; none is missing.
    """
    packages = {one["id"]: one for one in known["packages"]}
    needs = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(k["kind"] is None for k in dep["dep_kinds"])]
        for node in known["resolve"]["nodes"]
    }
    first = next(i for i, one in packages.items() if one["name"] == program and one["source"] is None)
    waiting, seen = [first], set()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += needs[one]
    return packages[first], {i: (packages[i], needs[i]) for i in sorted(seen)}


def licence(package):
    """What a package may be used under, as SPDX writes it today."""
    return (package["license"] or "").replace("/", " OR ") or None


def texts(package):
    """Licence files of a package, by name."""
    folder = Path(package["manifest_path"]).parent
    names = [p for p in folder.iterdir() if p.is_file()]
    wanted = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT")
    found = [p for p in names if p.name.upper().startswith(wanted)]
    if package["license_file"]:
        found.append(folder / package["license_file"])
    return sorted(set(found))
