"""An example is what somebody copies: what the pages ask of it is there, and its network has the ways that are used."""

import re

# Pages whose commands are said for any of the examples.
PAGES = ["docs/ops/aws.md", "docs/ops/runbook.md", "docs/ops/migrate.md"]
ASKED = re.compile(r"terraform output (?:-(?:json|raw) )?(\w+)")
RULES = {way: f"aws_vpc_security_group_{way}_rule" for way in ("egress", "ingress")}


def by_source(module):
    """Calls of modules, by the last folder of their source."""
    return {call["source"].rsplit("/", 1)[-1]: call for _, call in module.blocks("module")}


def group_of(call):
    """Names of the security groups that a call is given and that are made beside it."""
    return set(re.findall(r"aws_security_group\.(\w+)\.id", str(call.get("security_group_ids"))))


def opened(module, way):
    """(of whom, to or from whom, port) of the rules that name a group on both sides."""
    for _, _, rule in module.resources(RULES[way]):
        ends = [re.search(r"aws_security_group\.(\w+)\.id", str(rule.get(key))) for key in ("security_group_id", "referenced_security_group_id")]
        if all(ends):
            yield (*(end.group(1) for end in ends), rule.get("from_port"))


def boxes(tree, path, module):
    """The worker reaches the boxes' port, and they let it in."""
    calls = by_source(module)
    if not {"worker", "http"} <= set(calls):
        return
    port = int(re.search(r'SERVER_ADDRESS\s*=\s*"[\d.]+:(\d+)"', tree.module("http").text).group(1))
    worker, servers = group_of(calls["worker"]), group_of(calls["http"])
    if not any((one, other, port) in set(opened(module, "egress")) for one in worker for other in servers):
        yield f"{path}: the worker has no way to the boxes on {port}"
    if not any((other, one, port) in set(opened(module, "ingress")) for one in worker for other in servers):
        yield f"{path}: the boxes do not let the worker in on {port}"


def services(path, module):
    """Endpoints cost by the hour: none of a service that nobody asks."""
    named = set(re.findall(r'"(?:ecr\.(?:api|dkr)|logs|monitoring|sagemaker\.runtime|secretsmanager|sqs)"', module.text))
    worker = by_source(module).get("worker", {})
    if '"secretsmanager"' in named and "inference_http_token" not in worker:
        yield f"{path}: an endpoint of secretsmanager, which nobody in the network asks"
    if '"sagemaker.runtime"' in named and "sagemaker_endpoint_name" not in worker:
        yield f"{path}: an endpoint of sagemaker.runtime, which nobody in the network asks"


def priced(tree):
    """The page says how many endpoints are paid for by the hour."""
    page, path = "docs/ops/aws.md", "examples/complete"
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    there = dict((name, body) for _, name, body in tree.modules[path].resources("aws_vpc_endpoint"))["interface"]
    count = len(re.search(r"\[(.*)\]", there["for_each"]).group(1).split(","))
    if f"{words[count]} interface endpoints" not in tree.read(page):
        yield f"{page}: {path} has {words[count]} interface endpoints"


def check(tree):
    asked = {name: page for page in PAGES for name in ASKED.findall(tree.read(page))}
    faults = list(priced(tree))
    for path, module in tree.modules.items():
        if not path.startswith("examples/"):
            continue
        faults += [f"{page}: {path} has no output {name}" for name, page in sorted(asked.items()) if name not in module.outputs]
        if "operator_principal_arns" not in by_source(module)["worker"]:
            faults.append(f"{path}: nobody can be let take the operator's role")
        faults += [*boxes(tree, path, module), *services(path, module)]
    return faults
