"""Alarms and dashboards are of metrics that exist, and every alarm says where it is explained."""

import functools
import json
import re

from hcl import without_tests

# Metrics of AWS's own that are used here, with the dimensions that they have.
QUEUE, ENDPOINT, VARIANT = {"QueueName"}, {"EndpointName"}, {"EndpointName", "VariantName"}
TASKS = {"ClusterName", "ServiceName"}
THEIRS = {
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): QUEUE,
    ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"): QUEUE,
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): QUEUE,
    ("AWS/SageMaker", "ApproximateBacklogSize"): ENDPOINT,
    ("AWS/SageMaker", "ApproximateBacklogSizePerInstance"): ENDPOINT,
    ("AWS/SageMaker", "ApproximateAgeOfOldestRequest"): ENDPOINT,
    ("AWS/SageMaker", "HasBacklogWithoutCapacity"): ENDPOINT,
    ("AWS/SageMaker", "Invocation4XXErrors"): VARIANT,
    ("AWS/SageMaker", "Invocation5XXErrors"): VARIANT,
    ("AWS/SageMaker", "ModelLatency"): VARIANT,
    ("AWS/Events", "TriggeredRules"): {"RuleName"},
    ("ECS/ContainerInsights", "RunningTaskCount"): TASKS,
}
OURS = "${var.metrics_namespace}"
TABLE = "crates/platform/aws/src/numbers.rs"
PAGE = "docs/ops/alarms.md"
PARTS = ["**Meaning.**", "**First look.**", "**Fix.**"]


@functools.lru_cache(maxsize=None)
def words(code):
    """Strings of one word in a file."""
    return frozenset(re.findall(r'"([A-Za-z_]\w*)"', code))


def literals(tree, folders):
    return set().union(*(words(code) for folder in folders for _, code in tree.rust(folder)))


def watched(module):
    """(where, namespace, metric, dimensions) of alarms and of what scaling looks at."""
    for _, name, alarm in module.resources("aws_cloudwatch_metric_alarm"):
        queries = [query["metric"][0] for query in alarm.get("metric_query", []) if "metric" in query]
        for metric in queries or [alarm]:
            yield f"the alarm {name}", metric.get("namespace"), metric.get("metric_name"), set(metric.get("dimensions", {}))
    policy = "aws_appautoscaling_policy"
    for _, name, body in module.resources(policy):
        for one in re.findall(r"'namespace': '([^']+)', 'metric_name': '([^'$]+)'", str(body)):
            yield f"the policy {name}", *one, None
    # The metrics of a loop over queues.
    for metric in re.findall(r'\bmetric\s*=\s*"(\w+)"', module.text):
        yield "a policy", "AWS/SQS", metric, None


def drawn(module):
    """The same of dashboards: [namespace, metric, dimension, value, ...]."""
    if not list(module.resources("aws_cloudwatch_dashboard")):
        return
    row = r'\[(local\.own|"[A-Z]+/[\w/]+"), "(\w+)"((?:, [^\[\]{}]+)?)'
    for namespace, metric, rest in re.findall(row, module.text):
        names = re.findall(r'"(\w+)", ', rest + ", ")
        space = OURS if namespace == "local.own" else namespace.strip('"')
        dimensions = {name for name in names if name[0].isupper() and name not in ("AllTraffic",)}
        yield "the dashboard", space, metric, dimensions


def reported(tree):
    """The daemon's own metrics with their dimensions, from the table that it reports by."""
    text = without_tests(tree.read(TABLE))
    sets = {name: set(re.findall(r'"(\w+)"', some)) for name, some in re.findall(r"const (\w+): &\[&str\] = &\[(.*?)\]", text)}
    rows = re.findall(r'Reported \{\s*name: "(\w+)",.*?dimensions: (\w+),', text, re.S)
    return {name: sets[dimensions] for name, dimensions in rows}


def metrics(tree):
    ours = reported(tree)
    for path, module in tree.modules.items():
        for where, namespace, metric, dimensions in [*watched(module), *drawn(module)]:
            if namespace == OURS and metric not in ours:
                yield f"{path}: {where} is of {metric}, which no code reports"
            elif namespace == OURS:
                if dimensions != ours[metric]:
                    yield f"{path}: {where} asks for {metric} by {sorted(dimensions)}, not {sorted(ours[metric])}"
            elif (namespace, metric) not in THEIRS:
                yield f"{path}: {where} is of {namespace} {metric}, which alarms.py does not know"
            elif dimensions is not None and dimensions != THEIRS[namespace, metric]:
                yield f"{path}: {where} asks for {metric} by {sorted(dimensions)}, not {sorted(THEIRS[namespace, metric])}"


def sections(page):
    found = {}
    for title, body in re.findall(r"(?ms)^## (.+?)$(.*?)(?=^## |\Z)", page):
        found[re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")] = body
    return found


def explained(tree):
    have = sections(tree.read(PAGE))
    used = set()
    for path, module in tree.modules.items():
        for _, name, alarm in module.resources("aws_cloudwatch_metric_alarm"):
            anchor = re.search(re.escape(PAGE) + r"#([a-z0-9-]+)", alarm.get("alarm_description", ""))
            if not anchor or anchor.group(1) not in have:
                yield f"{path}: the alarm {name} names no section of {PAGE}"
            else:
                used.add(anchor.group(1))
            if not alarm.get("alarm_actions"):
                yield f"{path}: the alarm {name} tells nobody"
    for anchor in sorted(set(have) - used):
        yield f"{PAGE}: no alarm has the section {anchor}"
    for anchor, body in have.items():
        for part in PARTS:
            if part not in body:
                yield f"{PAGE}: the section {anchor} lacks {part}"


def every_dead_letter(tree):
    alarms = dict((name, body) for _, name, body in tree.module("observability").resources("aws_cloudwatch_metric_alarm"))
    for name, over in {"dead_letters": "${var.dead_letters}", "oldest_message": "${var.queues}"}.items():
        if alarms.get(name, {}).get("for_each") != over:
            yield f"modules/observability: the alarm {name} is not there for each of {over}"


def grafana(tree):
    known = literals(tree, ["crates", "bin"])
    for path in sorted((tree.root / "deploy/grafana").glob("*.json")):
        for name in sorted(set(re.findall(r"\bparallax_\w+", json.dumps(json.loads(path.read_text()))))):
            if not {name, re.sub(r"_(bucket|sum|count|total)$", "", name)} & known:
                yield f"{path.relative_to(tree.root)}: no code has the metric {name}"


def check(tree):
    return [*metrics(tree), *explained(tree), *every_dead_letter(tree), *grafana(tree)]
