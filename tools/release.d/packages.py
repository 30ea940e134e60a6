"""The packages that a program is made of, by cargo's own word, and what they allow."""

import functools
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


@functools.cache
def tree(program):
    """Name and version of all that is linked into a program that is built alone, with its own features."""
    lines = cargo("tree", "--locked", "-p", program, "-e", "normal", "--target", TARGET, "--prefix", "none",
                  "--format", "{p}").splitlines()
    found = set()
    for line in lines:
        name, number = line.split()[:2]
        found.add((name, number.removeprefix("v")))
    return found


def linked(known, program):
    """Packages of a program and who needs whom.

    The graph is that of the whole workspace with the features of all programs, so it is walked as far as this
    program goes. What only builds or tests need is left out.
    """
    mine = tree(program)
    packages = {one["id"]: one for one in known["packages"] if (one["name"], one["version"]) in mine}
    needs = {
        node["id"]: [
            dep["pkg"]
            for dep in node["deps"]
            if dep["pkg"] in packages and any(kind["kind"] is None for kind in dep["dep_kinds"])
        ]
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
