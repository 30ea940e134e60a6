"""A bill of materials in CycloneDX 1.5: every package that is linked into a program."""

import json
import os
import subprocess
import uuid
from pathlib import Path

import packages


def _purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def _component(package, digests):
    one = {
        "type": "library",
        "bom-ref": _purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": _purl(package),
        "scope": "required",
    }
    if package["description"]:
        one["description"] = " ".join(package["description"].split())
    expression = packages.licence(package)
    if expression:
        one["licenses"] = [{"expression": expression}]
    digest = digests.get((package["name"], package["version"]))
    if digest:
        one["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"] and "example.invalid" not in package["repository"]:
        one["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return one


def document(known, program, digest, when):
    """The bill of a program whose file has this digest."""
    top, parts = packages.linked(known, program)
    digests = packages.checksums()
    by_id = {i: _purl(package) for i, (package, _) in parts.items()}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same file has the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{program}:{digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": when,
            "component": {
                "type": "application",
                "bom-ref": _purl(top),
                "name": program,
                "version": top["version"],
                "licenses": [{"expression": packages.licence(top)}],
                "hashes": [{"alg": "SHA-256", "content": digest}],
            },
        },
        "components": [_component(package, digests) for i, (package, _) in parts.items() if i != top["id"]],
        "dependencies": [
            {"ref": by_id[i], "dependsOn": sorted(by_id[need] for need in set(needs))} for i, (_, needs) in parts.items()
        ],
    }


VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(sys.stdin.read())
print(str(wrong).splitlines()[0] if wrong else "")
"""


def _against_schema(text):
    """What the standard's own schema says against a bill."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    python = cache / "parallax" / "lint" / "bin" / "python3"
    if not python.exists():
        return "the validator is missing, which `tools/setup lint` installs"
    done = subprocess.run([python, "-c", VALIDATE], input=text, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else done.stderr


def faults(text, program):
    """What is wrong with a bill: packages of the program that it lacks, and what the standard does not allow."""
    bill = json.loads(text)
    listed = {(one["name"], one["version"]) for one in bill["components"] + [bill["metadata"]["component"]]}
    for name, number in sorted(packages.tree(program) - listed):
        yield f"the bill of {program} lacks {name} {number}"
    for name, number in sorted(listed - packages.tree(program)):
        yield f"the bill of {program} lists {name} {number}, which is not linked"
    for one in bill["components"]:
        if "licenses" not in one:
            yield f"the bill of {program} has no licence of {one['name']}"
    wrong = _against_schema(text)
    if wrong:
        yield f"the bill of {program} is no CycloneDX 1.5: {wrong}"
