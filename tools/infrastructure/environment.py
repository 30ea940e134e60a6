"""Every variable that a program reads is set by the module that runs it, or somebody said why not."""

import re

from hcl import keys_in

# Variables that a module leaves alone, and why. A reason that no longer holds is a fault.
SDK = "the SDK's own: in a deployment it finds what it needs by itself"
TUNED = "the default suits; extra_environment sets it"
GOOGLE = "another cloud's"
FILE = "the platform gives the value itself"
HUB = "the public hub is meant; extra_environment sets another"
UNSET = {
    "worker": {
        "AWS_ENDPOINT_URL": SDK,
        "HEALTH_HOSTS": "the container's own check asks for localhost",
        "INFERENCE_HTTP_ACCEPTED_SECONDS": TUNED,
        "INFERENCE_HTTP_CONNECT_SECONDS": TUNED,
        "INFERENCE_HTTP_PROGRESS_SECONDS": TUNED,
        "INFERENCE_HTTP_TOKEN_FILE": FILE,
        "INFERENCE_HTTP_TOTAL_SECONDS": TUNED,
        "MALLOC_ARENA_MAX": TUNED,
        "PACE": "for emulated services only",
        "STATE_DIR": "the image says where its one writable folder is",
        "WORKER_CONSOLE_ADDRESS": "nobody reaches a task's own address: operators serve the console with their own rights",
        "WORKER_CONSOLE_HOSTS": "no console is served by the tasks",
        "WORKER_CONSOLE_TOKEN": "no console is served by the tasks",
        "WORKER_CONSOLE_TOKEN_FILE": "no console is served by the tasks",
    },
    "endpoint": {
        "AWS_ENDPOINT_URL": SDK,
        "DRAIN_SECONDS": "SageMaker's 30 seconds are the default of its profile",
        "GCS_ACCESS_KEY_ID": GOOGLE,
        "GCS_ACCESS_KEY_ID_FILE": GOOGLE,
        "GCS_ENDPOINT_URL": GOOGLE,
        "GCS_SECRET_ACCESS_KEY": GOOGLE,
        "GCS_SECRET_ACCESS_KEY_FILE": GOOGLE,
        "HEALTH_ADDRESS": "the image's",
        "HEALTH_HOSTS": "the container's own check asks for localhost",
        "HF_ENDPOINT": HUB,
        "HF_TOKEN": "a secret: HF_TOKEN_ARN names where it is",
        "HF_TOKEN_FILE": "a secret: HF_TOKEN_ARN names where it is",
        "INPUT_BUCKET_NAME": "SERVER_INPUTS is narrower",
        "OUTPUT_BUCKET_NAME": "SERVER_OUTPUTS is narrower",
        "LOG_FORMAT": TUNED,
        "MALLOC_ARENA_MAX": TUNED,
        "SERVER_ADDRESS": "SageMaker asks on port 8080, the default of its profile",
        "SERVER_BODY_BYTES": TUNED,
        "SERVER_BODY_SECONDS": TUNED,
        "SERVER_CAPTION_MODEL": "the worker asks for stereo alone",
        "SERVER_DEPTH_CURVE": TUNED,
        "SERVER_DEPTH_EVERY": TUNED,
        "SERVER_DEPTH_MODE": TUNED,
        "SERVER_DEPTH_MODEL": TUNED,
        "SERVER_DEPTH_SIZE": TUNED,
        "SERVER_FILE_ROOTS": "no request names a file there",
        "SERVER_HOSTS": "it does not listen on loopback",
        "SERVER_INLINE_BYTES": TUNED,
        "SERVER_INPUT_BYTES": TUNED,
        "SERVER_MEMORY_LIMIT_MIB": TUNED,
        "SERVER_NETWORKS": "no request brings an address of its own",
        "SERVER_ORIGINS": "no request brings an address of its own",
        "SERVER_PERCEPTION_MODEL": "the worker asks for stereo alone",
        "SERVER_PERCEPTION_STORE": "the worker asks for stereo alone",
        "SERVER_PERCEPTION_URL": "the worker asks for stereo alone",
        "SERVER_PLACES": "SageMaker sends one request at a time",
        "SERVER_PLACES_PER_CLIENT": "there is one client",
        "SERVER_REFERENCE": TUNED,
        "SERVER_SCRATCH": "the image's",
        "SERVER_SEGMENT_MODEL": "the worker asks for stereo alone",
        "SERVER_ANIMATE_MODEL": "the worker asks for stereo alone",
        "SERVER_SERVICES": "the worker asks for stereo alone, the default",
        "SERVER_TOKENS": "only SageMaker reaches the container",
        "SERVER_TOKENS_FILE": FILE,
        "WEIGHTS_DIR": "the image's",
        "WEIGHTS_LOCK": "the folder's own lock; extra_environment names another",
        "WEIGHTS_MIRROR": HUB,
    },
}
UNSET["http"] = UNSET["endpoint"] | {
    "DRAIN_SECONDS": "the default of the profile http",
    "HF_HUB_OFFLINE": HUB,
    "SERVER_PLACES": TUNED,
    "SERVER_PLACES_PER_CLIENT": "there is one client",
    "SERVER_RUN_LIMIT_SECONDS": TUNED,
    "SERVER_STEPS": TUNED,
}
del UNSET["http"]["SERVER_ADDRESS"], UNSET["http"]["SERVER_TOKENS"]
del UNSET["http"]["SERVER_SCRATCH"], UNSET["http"]["WEIGHTS_DIR"]

# The program that a module runs, with the page that has its variables and further sources of names.
PROGRAMS = {
    "worker": ("video-worker", "docs/ops/video-worker.md", []),
    "endpoint": ("inference-server", "docs/ops/inference-server.md", ["crates/models/hub/src/settings.rs"]),
    "http": ("inference-server", "docs/ops/inference-server.md", ["crates/models/hub/src/settings.rs"]),
}


def documented(page):
    """Names in the first column of a page's tables."""
    found = set()
    for row in re.findall(r"(?m)^\| (`[A-Z].*?) \|", page):
        found |= set(re.findall(r"`([A-Z][A-Z0-9_]{3,})`", row))
    return found


def read(tree, module):
    """(names in code, names on the page)"""
    program, page, more = PROGRAMS[module]
    names = set()
    for _, text in tree.rust(f"bin/{program}/src"):
        names |= set(re.findall(r'\benv = "([A-Z0-9_]+)"', text))
    for path in more:
        names |= set(re.findall(r'read\("([A-Z0-9_]+)"\)', tree.read(path)))
    return names, documented(tree.read(page))


def pages(tree, module):
    """Faults where code and page differ. The SDK and the allocator read some names themselves."""
    program, page, _ = PROGRAMS[module]
    code, told = read(tree, module)
    own = {name for name in told - code if not name.startswith("AWS_") and name != "MALLOC_ARENA_MAX"}
    for name in sorted(own):
        yield f"{page} has {name}, which nobody reads"
    text = tree.read(page)
    for name in sorted(name for name in code if f"`{name}`" not in text):
        yield f"{page} lacks {name}, which {program} reads"


def written(tree, module):
    terraform = tree.module(module)
    names = keys_in(terraform.locals["environment"]) | keys_in(terraform.locals.get("secrets", ""))
    names |= set(re.findall(r"\{ (ROLES) = ", terraform.text))
    for text in terraform.templates.values():
        names |= set(re.findall(r"(?m)^([A-Z][A-Z0-9_]+)=", text)) | set(re.findall(r"printf '([A-Z_]+)=", text))
    return names


def ranges(tree, module):
    """Faults where a variable allows a number that the program refuses."""
    program = PROGRAMS[module][0]
    code = {}
    for _, text in tree.rust(f"bin/{program}/src"):
        for name, rest in re.findall(r'env = "([A-Z0-9_]+)"(.{0,160})', text, re.S):
            bounds = re.match(r"[^#]*?range\(([\d_]+)\.\.=([\d_]+)\)", rest.split("pub(crate)")[0], re.S)
            if bounds:
                code[name] = tuple(int(bound.replace("_", "")) for bound in bounds.groups())
    terraform = tree.module(module)
    for name, variable in re.findall(r"\b([A-Z][A-Z0-9_]+)\s*=\s*tostring\(var\.(\w+)\)", terraform.text):
        body = str(terraform.variables[variable].get("validation", ""))
        least, most = (re.search(rf"var\.{variable} {op} (\d+)", body) for op in (">=", "<="))
        if name in code and least and most:
            low, high = code[name]
            if int(least.group(1)) < low or int(most.group(1)) > high:
                yield f"modules/{module}: {variable} allows more than {low} to {high}, which is what {name} may be"


def check(tree):
    faults = []
    for module in PROGRAMS:
        known = set.union(*read(tree, module))
        told, left = written(tree, module), UNSET[module]
        for name in sorted(known - told - set(left)):
            faults.append(f"modules/{module}: {PROGRAMS[module][0]} reads {name}: set it, or say in environment.py why not")
        for name in sorted(told - known):
            faults.append(f"modules/{module}: {name} is set and nobody reads it")
        for name in sorted(set(left) & told):
            faults.append(f"environment.py: {name} is set by modules/{module} after all")
        for name in sorted(set(left) - known):
            faults.append(f"environment.py: nobody reads {name} any more")
        faults += ranges(tree, module)
    for module in ("worker", "endpoint"):
        faults += pages(tree, module)
    return faults
