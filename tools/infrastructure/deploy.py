"""Images, the compose file and the units name variables that programs read, and give no more than is needed."""

import re

import environment
import yaml

# Which module of environment.py knows the variables of a program.
READERS = {"video-worker": "worker", "inference-server": "http"}
# Read by what is around a program: the driver, deploy/images/entry.
AROUND = {"CUDA_CACHE_PATH", "WEIGHTS_FALLBACK"}
IMAGES = {"Dockerfile.worker": "video-worker", "Dockerfile.gpu": "inference-server"}
# SIGTERM to exit takes so much longer than what may run on.
TIDYING = 20
CLOSED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "SystemCallFilter": "@system-service",
}


def unread(tree, where, program, names):
    known = set.union(*environment.read(tree, READERS[program])) | AROUND
    for name in sorted(set(names) - known):
        yield f"{where}: {program} does not read {name}"


def too_short(where, told, seconds):
    if int(told.get("DRAIN_SECONDS", 100)) + TIDYING > seconds:
        yield f"{where}: is killed {seconds} s after SIGTERM, and may drain for {told.get('DRAIN_SECONDS', 100)} s"


def stages(text):
    return set(re.findall(r"(?m)^FROM .* AS (\w+)$", text))


def images(tree):
    for path, program in IMAGES.items():
        text = tree.read(path)
        # The builder's own are the toolchain's.
        for stage in re.split(r"(?m)^(?=FROM )", text)[1:]:
            if "PATH=" not in stage:
                env = "".join(re.findall(r"(?m)^ENV ((?:.*\\\n)*.*)$", stage))
                yield from unread(tree, path, program, re.findall(r"(?:^|\s)([A-Z][A-Z0-9_]+)=", env))
            if stage.split()[1].startswith("${CUDA") and "CUDA_COMPUTE_CAP=" in stage and "CUDA_COMPUTE_CAP=80" not in stage:
                yield f"{path}: docs/ops/gpus.md speaks of the generation 80"
        last = re.findall(r"(?m)^USER (\S+)$", text)[-1]
        if last == "0":
            yield f"{path}: what is built without a target runs as root"


def compose(tree):
    path = "deploy/compose.yaml"
    services = yaml.safe_load(tree.read(path))["services"]
    for program, service in services.items():
        where, told = f"{path}: {program}", service["environment"]
        yield from unread(tree, where, program, told)
        build = service["build"]
        if "target" in build and build["target"] not in stages(tree.read(build["dockerfile"])):
            yield f"{where}: {build['dockerfile']} has no target {build['target']}"
        if not (service.get("read_only") and service.get("cap_drop") == ["ALL"] and "no-new-privileges:true" in service.get("security_opt", [])):
            yield f"{where}: its root is to be read-only, without capabilities and new privileges"
        for opened in {"ports", "privileged", "cap_add", "network_mode", "user", "devices"} & set(service):
            yield f"{where}: {opened} is not needed"
        if "devices" in str(service.get("deploy")) and "SERVER_DEVICE" not in told:
            yield f"{where}: has a GPU, and only some engines would use it: SERVER_DEVICE is not set"
        yield from too_short(where, told, int(service["stop_grace_period"].removesuffix("s")))
    if services["inference-server"]["environment"]["SERVER_TOKENS"] == services["video-worker"]["environment"]["INFERENCE_HTTP_TOKEN"]:
        yield f"{path}: the servers' list of tokens is the one that the daemon sends: none can be changed"
    mounts = [{volume for volume in service["volumes"] if volume.startswith("state:")} for service in services.values()]
    if len(mounts) != 2 or mounts[0] != mounts[1]:
        yield f"{path}: the programs see the segments at different paths"


def units(tree):
    for program in READERS:
        path = f"deploy/{program}.service"
        lines = [line.split("=", 1) for line in tree.read(path).splitlines() if re.match(r"[A-Z]\w*=", line)]
        told = dict(value.split("=", 1) for key, value in lines if key == "Environment")
        said = dict(lines)
        if "char-nvidia" in str(lines) and "SERVER_DEVICE" not in told:
            yield f"{path}: has a GPU, and only some engines would use it: SERVER_DEVICE is not set"
        yield from unread(tree, path, program, told)
        if said.get("ExecStart") != f"/usr/local/bin/{program}":
            yield f"{path}: starts {said.get('ExecStart')}"
        for key, value in CLOSED.items():
            if said.get(key) != value:
                yield f"{path}: {key} is {said.get(key)!r}, not {value!r}"
        yield from too_short(path, told, int(said["TimeoutStopSec"]))


def installed(tree):
    """Pages that install or upgrade one machine do so with every program that has a unit there."""
    for page in ("docs/ops/one-box.md", "docs/ops/upgrade.md"):
        lines = re.findall(r"(?m)^install -m 755 (.*) /usr/local/bin/$", tree.read(page))
        for program in READERS:
            if not any(program in {name.rsplit("/", 1)[-1] for name in line.split()} for line in lines):
                yield f"{page}: does not install {program}"


def asked(tree):
    """What compose insists on is asked for by each of its commands, so one file has it, which no commit has."""
    wanted = set(re.findall(r"\$\{(\w+):\?", tree.read("deploy/compose.yaml")))
    for page in ("docs/ops/one-box.md", "deploy/compose.yaml"):
        made = " ".join(re.findall(r"(?m)^.*>deploy/\.env\)?$", tree.read(page)))
        for name in sorted(wanted - set(re.findall(r"([A-Z_]+)=", made))):
            yield f"{page}: compose asks for {name}, and deploy/.env is made without it"
    if "/deploy/.env" not in tree.read(".gitignore").splitlines():
        yield ".gitignore: deploy/.env has secrets"


def check(tree):
    return [*images(tree), *compose(tree), *units(tree), *installed(tree), *asked(tree)]
