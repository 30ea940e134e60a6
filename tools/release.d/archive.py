"""The archive of a release, the same bytes for the same contents, and its checks."""

import gzip
import hashlib
import json
import re
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor

import bom


def digest(path):
    """SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def pack(folder, target, seconds, level):
    """Packs a folder, as small as `level` of gzip makes it: names in order, nobody's, of one time."""

    def plain(entry):
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = seconds
        return entry

    with open(target, "wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=level, mtime=seconds) as zipped:
        with tarfile.open(fileobj=zipped, mode="w") as tar:
            tar.add(folder, folder.name, recursive=False, filter=plain)
            for path in sorted(folder.rglob("*")):
                tar.add(path, str(path.relative_to(folder.parent)), recursive=False, filter=plain)


def _said(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    return done.stdout + done.stderr


def unlisted(path, bill):
    """Packages whose sources a program names, in what it says when it panics, and its bill does not."""
    listed = {f"{one['name']}-{one['version']}" for one in bill["components"]}
    for found in sorted(set(re.findall(rb"/registry/src/[^/\0]+/([\w+.-]+?-\d+\.\d+\.\d+[\w+.-]*)/", path.read_bytes()))):
        if found.decode() not in listed:
            yield f"{path.name} has code of {found.decode()}, which its bill does not list"


def program_faults(path, version, commit, static):
    """What is wrong with a program as it was packed."""
    said = _said(path, "--version").strip()
    wanted = f"{path.name} {version} ({commit})" if static else f"{path.name} {version}"
    if not said.startswith(wanted):
        yield f"{path.name} says {said!r} of itself, not {wanted!r}"
    if re.search(r"\.debug_info|\.symtab", _said("readelf", "--section-headers", "--wide", path)):
        yield f"{path.name} is not stripped"
    linked = _said("ldd", path)
    if static and not re.search(r"statically linked|not a dynamic executable", linked):
        yield f"{path.name} is not static:\n{linked}"


def faults(out, name, programs, version, commit, static):
    """Unpacks what would be published and looks at it as a stranger does."""
    summed = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, capture_output=True, text=True)
    if summed.returncode:
        yield f"the sums do not match: {summed.stdout}{summed.stderr}"
    listed = {line.split(maxsplit=1)[1].strip() for line in (out / "SHA256SUMS").read_text().splitlines()}
    there = {path.name for path in out.iterdir() if path.is_file() and path.name != "SHA256SUMS"}
    if listed != there:
        yield f"SHA256SUMS lists {sorted(listed)}, there are {sorted(there)}"
    unpacked = out / "unpacked"
    with tarfile.open(out / f"{name}.tar.gz") as tar:
        tar.extractall(unpacked, filter="data")
    bills = [(unpacked / name / f"{program}.cdx.json").read_text() for program in programs]
    with ThreadPoolExecutor() as pool:
        judged = list(pool.map(lambda text, program: list(bom.faults(text, program)), bills, programs))
    for program, text, wrong in zip(programs, bills, judged):
        path = unpacked / name / program
        yield from program_faults(path, version, commit, static)
        yield from wrong
        if static:
            yield from unlisted(path, json.loads(text))
        if f'"{digest(path)}"' not in text:
            yield f"the bill of {program} is of another file"
    for page in ["LICENSE", "THIRD-PARTY-LICENCES.txt", "README.md", "CHANGELOG.md"]:
        if not (unpacked / name / page).is_file():
            yield f"the archive lacks {page}"
