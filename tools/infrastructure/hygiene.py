"""What no program reads and everybody relies on: who may reach data, how long it stays, what an attempt costs."""

import re

from hcl import actions_in

# Actions that know no resources, so that `*` is all that can be said.
EVERYWHERE = re.compile(r"cloudwatch:PutMetricData|ecr:GetAuthorizationToken|ec2:\w+")
# One of these for each bucket.
OF_BUCKETS = [
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_ownership_controls",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_lifecycle_configuration",
]


def data(tree):
    module = tree.module("data")
    resources = {(kind, name): body for kind, name, body in module.resources()}
    for (kind, name), body in resources.items():
        where = f"modules/data: {kind}.{name}"
        if kind == "aws_s3_bucket" and "account_id" not in body["bucket"]:
            yield f"{where}: the name is anybody's without the account's number"
        if kind == "aws_dynamodb_table":
            if body.get("deletion_protection_enabled") != "${var.deletion_protection}":
                yield f"{where}: may be deleted"
            if body.get("point_in_time_recovery", [{}])[0].get("enabled") is not True:
                yield f"{where}: cannot be restored"
        if kind == "aws_sqs_queue" and not body.get("sqs_managed_sse_enabled"):
            yield f"{where}: is not encrypted"
        if kind == "aws_sqs_queue" and name != "dead_letters" and "deadLetterTargetArn" not in str(body.get("redrive_policy")):
            yield f"{where}: has no dead-letter queue"
    for kind in OF_BUCKETS:
        if [body.get("for_each") for (found, _), body in resources.items() if found == kind] != ["${local.buckets}"]:
            yield f"modules/data: not every bucket has {kind}"
    for name in ("bucket", "queue"):
        for _, document, body in module.resources("aws_iam_policy_document", "data"):
            denied = [str(it) for _, _, it in actions_in(body) if it.get("effect") == "Deny"]
            if document == name and not any("aws:SecureTransport" in it for it in denied):
                yield f"modules/data: the policy of a {name} lets in who does not use TLS"
    code = tree.read("crates/core/job/src/key.rs")
    for prefix in sorted(set(re.findall(r'"([a-z-]+/)"\s*=', module.text))):
        # SageMaker chooses names below the two that the endpoint is told.
        if f'"{prefix}' not in code and f'"{prefix.rstrip("/")}"' not in code and prefix not in tree.module("endpoint").text:
            yield f"modules/data: no key begins with {prefix}"


def reach(tree):
    for path, module in tree.modules.items():
        for _, name, body in module.resources("aws_iam_policy_document", "data"):
            for sid, actions, statement in actions_in(body):
                where = f"{path}: {name}.{sid or 'trust'}"
                if "*" in statement.get("resources", []) and not all(EVERYWHERE.fullmatch(action) for action in actions):
                    yield f"{where}: {actions} on everything"
                if "ecr:BatchGetImage" in actions and "repository/*" in str(statement["resources"]):
                    yield f"{where}: any image may be fetched"
                if "secretsmanager:GetSecretValue" in actions and "${[for" in str(statement["resources"]).replace(" ", ""):
                    yield f"{where}: every secret may be read"
                principals = str(statement.get("principals", ""))
                if "sts:AssumeRole" in actions and re.search(r"(ecs-tasks|sagemaker)\.amazonaws", principals):
                    if "aws:SourceAccount" not in str(statement.get("condition")):
                        yield f"{where}: another account's service may take the role"
                if statement.get("effect") != "Deny" and re.search(r"'identifiers': \['\*'\]", principals):
                    yield f"{where}: lets in everybody"
                if "cloudwatch:PutMetricData" in actions and "cloudwatch:namespace" not in str(statement.get("condition")):
                    yield f"{where}: any namespace may be written"
        for _, name, body in module.resources("aws_cloudwatch_log_group"):
            if "retention_in_days" not in body:
                yield f"{path}: the log {name} is kept for ever"
        for kind, name, body in module.resources():
            if kind.endswith(("secret_version", "random_password")) or "secret_string" in body:
                yield f"{path}: {kind}.{name} puts a secret into the state"


def limits(tree):
    """One attempt for one GPU: the endpoint's part, and what the worker is given."""
    endpoint = tree.module("endpoint").text
    if not re.search(r"max_concurrent_invocations_per_instance\s*=\s*1\n", endpoint):
        yield "modules/endpoint: an instance is given more than one segment at a time"
    if "aws_appautoscaling_target.this.max_capacity" not in str(tree.module("endpoint").outputs["max_in_flight"]):
        yield "modules/endpoint: max_in_flight is not the endpoint's maximum"
    for path, module in tree.modules.items():
        calls = dict(module.blocks("module"))
        kinds = {call["source"].rsplit("/", 1)[-1]: name for name, call in calls.items()}
        for server in {"endpoint", "http"} & set(kinds):
            if "worker" in kinds and calls[kinds["worker"]]["inference_max_in_flight"] != "${module." + kinds[server] + ".max_in_flight}":
                yield f"{path}: the worker's limit in flight is not that of module.{kinds[server]}"
    worker = "".join(text for _, text in tree.rust("bin/video-worker/src"))
    queueing = re.search(r"QUEUEING: Duration = Duration::from_secs\((\d+)\)", worker)
    for _, name, alarm in tree.module("observability").resources("aws_cloudwatch_metric_alarm"):
        if name == "endpoint_queue" and not (queueing and alarm["threshold"] < int(queueing.group(1))):
            yield "modules/observability: endpoint_queue tells when requests have expired already"


def tokens(tree):
    """Servers take a list, of which a client sends one: with one secret for both none can be changed."""
    http = tree.module("http")
    secret = r'aws_secretsmanager_secret\.this\["([\w-]+)"\]'
    sent = re.search(secret, str(http.outputs["client_token"]["value"]).replace('\\"', '"'))
    taken = re.search(r"tokens_arn\s*=\s*" + secret, http.text)
    if not sent or not taken or sent.group(1) == taken.group(1):
        yield "modules/http: the token that a client sends is in the secret of those that servers take"


def check(tree):
    return [*data(tree), *reach(tree), *limits(tree), *tokens(tree)]
