"""Planted drifts: a check that finds none of these checks nothing."""

import pathlib
import shutil
import tempfile

import evaluate
import rules
from hcl import Tree

DATA, WORKER = "terraform/modules/data", "terraform/modules/worker"
ENDPOINT, WATCH = "terraform/modules/endpoint", "terraform/modules/observability"
COMPLETE, RUST = "terraform/examples/complete", "tests/src/cloud/resources.rs"
HTTP, BOXES, BESIDE = "terraform/modules/http", "terraform/examples/http", "terraform/examples/beside-stereo-spot"
CONFIG, AWS = "bin/video-worker/src/config.rs", "crates/platform/aws/src"

# What is copied to plant drifts in.
NEEDED = [
    "terraform",
    "docs/ops",
    "deploy",
    "Dockerfile.gpu",
    "Dockerfile.worker",
    ".gitignore",
    RUST,
    "bin/video-worker/src",
    "bin/inference-server/src",
    "crates",
]

# (drift, file, what stands there, what is written instead, what is found)
DRIFTS = [
    ("a queue without a role", f"{WORKER}/variables.tf", '["chunking", "reassembly"])', '["reassembly"])', "nobody takes from the queue chunking"),
    ("a role that is new", "crates/core/worker/src/roles.rs", 'Role::Reconcile => "reconcile"', 'Role::Reconcile => "repair"', "has the role repair"),
    ("a queue that the daemon is not told", f"{WORKER}/environment.tf", 'var.queues["reassembly"].url', '"elsewhere"', "not told the queue reassembly"),
    ("a service that is left out", f"{COMPLETE}/main.tf", "  cpu_architecture        = var.cpu_architecture\n", "  media                   = null\n", "takes from the queue chunking"),
    ("a fifth queue", f"{DATA}/queues.tf", "  queues = {\n", "  queues = {\n    deletion      = { visibility_seconds = 120, max_receives = 120 }\n", "the queue deletion"),
    ("a variable that is new", CONFIG, 'env = "DAMAGED"', 'env = "DAMAGES"', "reads DAMAGES"),
    ("a variable that is gone", CONFIG, 'env = "LEASE_SECONDS"', "long", "has LEASE_SECONDS, which nobody reads"),
    ("a variable that nobody reads", f"{WORKER}/environment.tf", "LOG_FORMAT    ", "LOG_FORMATS   ", "LOG_FORMATS is set and nobody reads it"),
    ("a server's variable that is new", "bin/inference-server/src/config.rs", 'env = "SERVER_STEPS"', 'env = "SERVER_STRIDES"', "reads SERVER_STRIDES"),
    ("a range that is too wide", f"{WORKER}/variables.tf", "var.lease_seconds <= 43200", "var.lease_seconds <= 86400", "lease_seconds allows more"),
    ("a call without a right", f"{WORKER}/roles.tf", '      "dynamodb:Query",\n', "", "dynamodb:Query, which nobody is granted"),
    ("a right without a call", f"{WORKER}/roles.tf", '      "dynamodb:Query",\n', '      "dynamodb:Query",\n      "dynamodb:Scan",\n', "dynamodb:Scan is granted and never used"),
    ("a call that is not known", f"{AWS}/objects.rs", "client.head_bucket()", "client.put_bucket_policy()", "put_bucket_policy"),
    ("a call that is new", f"{AWS}/objects.rs", "client.head_bucket()", "client.head_bucket(); client.scan()", "dynamodb:Scan, which nobody is granted"),
    ("a right of operators for a service", f"{WORKER}/roles.tf", '"s3:AbortMultipartUpload"]\n      resources = ["${local.input}/segments/*"', '"s3:AbortMultipartUpload", "s3:DeleteObject"]\n      resources = ["${local.input}/segments/*"', "which is for operators"),
    ("a server without a right", "terraform/modules/http/role.tf", ', "s3:AbortMultipartUpload"', "", "s3:AbortMultipartUpload, which nobody is granted"),
    ("every right", f"{WORKER}/operator.tf", '["s3:DeleteObject"]', '["s3:DeleteObject", "s3:*"]', "s3:*"),
    ("an alarm of nothing", f"{WATCH}/worker.tf", '"InvariantViolations"', '"InvariantsBroken"', "InvariantsBroken, which no code reports"),
    ("an alarm by another dimension", f"{WATCH}/worker.tf", 'metric_name         = "Ready"\n  dimensions          = { Backend', 'metric_name         = "Ready"\n  dimensions          = { Replica', "asks for Ready by ['Replica']"),
    ("a metric that code gave up", f"{AWS}/numbers.rs", '"SegmentsFailed"', '"SegmentsLost"', "SegmentsFailed, which no code reports"),
    ("a metric with another dimension", f"{AWS}/numbers.rs", '&["Backend"]', '&["Pool"]', "asks for Ready by ['Backend']"),
    ("AWS's metric by another dimension", f"{WATCH}/endpoint.tf", '"Invocation5XXErrors"\n  dimensions          = { EndpointName = each.value, VariantName = "AllTraffic" }', '"Invocation5XXErrors"\n  dimensions          = { EndpointName = each.value }', "asks for Invocation5XXErrors"),
    ("an alarm without its page", f"{WATCH}/queues.tf", "alarms.md#dead-letters", "alarms.md#letters", "the alarm dead_letters names no section"),
    ("a section without an alarm", "docs/ops/alarms.md", "## Restarts", "## Rainfall\n\n**Meaning.** **First look.** **Fix.**\n\n## Restarts", "no alarm has the section rainfall"),
    ("a section without a fix", "docs/ops/alarms.md", "**Fix.** None.", "", "lacks **Fix.**"),
    ("an alarm that tells nobody", f"{WATCH}/queues.tf", "  alarm_actions       = local.actions\n  ok_actions          = local.actions\n}\n\n", "}\n\n", "the alarm dead_letters tells nobody"),
    ("dead letters without alarms", f"{WATCH}/queues.tf", "for_each            = var.dead_letters", "for_each            = var.queues", "is not there for each of ${var.dead_letters}"),
    ("a panel of nothing", "deploy/grafana/parallax.json", "parallax_segments_total", "parallax_pieces_total", "no code has the metric parallax_pieces_total"),
    ("another retention", f"{DATA}/queues.tf", "= 7 * 24 * 3600", "= 4 * 24 * 3600", "retention of queues"),
    ("other receives", RUST, "MAX_RECEIVES: u32 = 120", "MAX_RECEIVES: u32 = 5", "receives: modules/data has 120"),
    ("another visibility", f"{DATA}/queues.tf", "reassembly    = { visibility_seconds = 120", "reassembly    = { visibility_seconds = 900", "cannot be compared"),
    ("another key", f"{DATA}/tables.tf", 'hash_key     = "output_location"', 'hash_key     = "job_id"', "cannot be compared"),
    ("another index", RUST, '("status", "completed_at")', '("status", "finished_at")', "keys and indexes"),
    ("another prefix", f"{DATA}/buckets.tf", '"sagemaker-async-failures/"]', '"sagemaker-failures/"]', "events of the output bucket"),
    ("items that stay", RUST, "[&tables.triggers, &tables.invocations]", "[&tables.triggers]", "tables whose items expire"),
    ("a name that is not there", f"{COMPLETE}/main.tf", "module.endpoint.max_in_flight", "module.endpoint.max_instances", "module.endpoint.max_instances is not there"),
    ("an argument that is not there", f"{COMPLETE}/main.tf", "  emails        = var.emails", "  mails         = var.emails", "does not know"),
    ("a variable that is not used", f"{ENDPOINT}/endpoint.tf", "var.side_by_side", '"full"', "var.side_by_side is never used"),
    ("a variable that is not declared", f"{WORKER}/service.tf", "var.log_days", "var.log_weeks", "var.log_weeks is not declared"),
    ("one partition", f"{WORKER}/roles.tf", '"arn:${data.aws_partition.current.partition}:iam', '"arn:aws:iam', "one partition of several"),
    ("a provider without a bound", f"{DATA}/versions.tf", ">= 6.38, < 7.0", ">= 6.38", "no upper bound"),
    ("a variable of a container that nobody reads", "deploy/compose.yaml", "SERVER_FILE_ROOTS:", "SERVER_FILES:", "does not read SERVER_FILES"),
    ("a target that is not there", "deploy/compose.yaml", "target: plain", "target: bare", "has no target bare"),
    ("a container that may write", "deploy/compose.yaml", "    read_only: true\n", "", "is to be read-only"),
    ("a port for everybody", "deploy/compose.yaml", "    read_only: true\n", '    read_only: true\n    ports: ["8080:8080"]\n', "ports is not needed"),
    ("folders at two paths", "deploy/compose.yaml", "- state:/var/lib/parallax\n      - weights", "- state:/state\n      - weights", "at different paths"),
    ("a stop that is too short", "deploy/compose.yaml", "stop_grace_period: 120s", "stop_grace_period: 30s", "is killed 30 s after"),
    ("a unit with an old variable", "deploy/video-worker.service", "Environment=STATE_DIR", "Environment=STATE_FOLDER", "does not read STATE_FOLDER"),
    ("a unit that is open", "deploy/inference-server.service", "ProtectSystem=strict", "ProtectSystem=full", "ProtectSystem is 'full'"),
    ("an image with an old variable", "Dockerfile.gpu", "SERVER_SCRATCH=/tmp", "SCRATCH=/tmp", "does not read SCRATCH"),
    ("an image for root by default", "Dockerfile.gpu", "USER 65532", "USER 0", "runs as root"),
    ("another generation of GPUs", "Dockerfile.gpu", "CUDA_COMPUTE_CAP=80", "CUDA_COMPUTE_CAP=90", "the generation 80"),
    ("a bucket of anybody's name", f"{DATA}/buckets.tf", '"${var.name}-input-${data.aws_caller_identity.current.account_id}"', '"${var.name}-input"', "is anybody's"),
    ("a table that may go", f"{DATA}/tables.tf", "deletion_protection_enabled = var.deletion_protection", "deletion_protection_enabled = false", "may be deleted"),
    ("a table without its past", f"{DATA}/tables.tf", "    enabled = true", "    enabled = false", "cannot be restored"),
    ("a queue without dead letters", f"{DATA}/queues.tf", "deadLetterTargetArn", "deadLetterTarget", "has no dead-letter queue"),
    ("a bucket without owner", f"{DATA}/buckets.tf", '"aws_s3_bucket_ownership_controls" "this" {\n  for_each = local.buckets', '"aws_s3_bucket_ownership_controls" "this" {\n  for_each = { input = local.buckets.input }', "not every bucket has aws_s3_bucket_ownership_controls"),
    ("a queue without TLS", f"{DATA}/queues.tf", '"aws:SecureTransport"', '"aws:Transport"', "the policy of a queue lets in"),
    ("an expiry of nothing", f"{DATA}/buckets.tf", '"segments/" = ', '"sections/" = ', "no key begins with sections/"),
    ("a right on everything", f"{WORKER}/roles.tf", "resources = local.sends[each.key]", 'resources = ["*"]', "on everything"),
    ("a role for other accounts", f"{ENDPOINT}/role.tf", '"aws:SourceAccount"', '"aws:SourceArn"', "another account's service"),
    ("metrics of any name", f"{WORKER}/roles.tf", '"cloudwatch:namespace"', '"cloudwatch:space"', "any namespace"),
    ("a log for ever", f"{WORKER}/service.tf", "  retention_in_days = var.log_days\n", "", "kept for ever"),
    ("two segments on one GPU", f"{ENDPOINT}/endpoint.tf", "per_instance = 1", "per_instance = 2", "more than one segment"),
    ("a limit of its own", f"{COMPLETE}/main.tf", "inference_max_in_flight = module.endpoint.max_in_flight", "inference_max_in_flight = 5", "limit in flight is not that"),
    ("an alarm that is too late", f"{WATCH}/endpoint.tf", "= 1500", "= 1900", "have expired already"),
    ("a provider that is too old", f"{ENDPOINT}/versions.tf", ">= 6.38, < 7.0", ">= 6.20, < 7.0", "refuse al2023-ami-sagemaker-inference-gpu-4-1"),
    ("two providers", f"{DATA}/versions.tf", ">= 6.38, < 7.0", ">= 6.40, < 7.0", "others for a later one"),
    ("a role that may not send to its own queue", f"{WORKER}/roles.tf", 'output-events = ["output-events", "reassembly"]', 'output-events = ["reassembly"]', "the role output-events may not send"),
    ("a page that forgets to send", "docs/ops/migrate.md", "| every queue that it receives from,", "| the segments queue,", "migrate.md: does not say that the daemon sends"),
    ("another page that forgets to send", "docs/ops/video-worker.md", "`SendMessage` on every queue that it receives from", "`SendMessage` on the segments queue", "video-worker.md: does not say that the daemon sends"),
    ("one secret for both sides", f"{HTTP}/outputs.tf", 'this["client-token"]', 'this["server-tokens"]', "is in the secret of those that servers take"),
    ("every secret", f"{HTTP}/role.tf", '[aws_secretsmanager_secret.this["server-tokens"].arn]', "[for secret in aws_secretsmanager_secret.this : secret.arn]", "every secret may be read"),
    ("every image", f"{HTTP}/role.tf", "repository/${statement.value[2]}", "repository/*", "any image may be fetched"),
    ("one token for both sides", "deploy/compose.yaml", "${PARALLAX_TOKENS:-${PARALLAX_TOKEN}}", "${PARALLAX_TOKEN:?a token of 16 characters or more, in deploy/.env}", "the servers' list of tokens is the one"),
    ("a GPU that is not used", "deploy/compose.yaml", "      SERVER_DEVICE: ${SERVER_DEVICE:-cuda}\n", "", "has a GPU, and only some engines"),
    ("a GPU that a unit does not use", "deploy/inference-server.service", "Environment=SERVER_DEVICE=cuda\n", "", "has a GPU, and only some engines"),
    ("a GPU that a box does not use", f"{HTTP}/boxes.tf", "      SERVER_DEVICE       = local.device\n", "", "reads SERVER_DEVICE"),
    ("no way to the boxes", f"{BOXES}/network.tf", 'referenced_security_group_id = aws_security_group.boxes.id\n  ip_protocol                  = "tcp"\n  from_port                    = 8080', 'referenced_security_group_id = aws_security_group.boxes.id\n  ip_protocol                  = "tcp"\n  from_port                    = 443', "no way to the boxes on 8080"),
    ("boxes that let nobody in", f"{BOXES}/network.tf", 'referenced_security_group_id = aws_security_group.worker.id\n  ip_protocol                  = "tcp"\n  from_port                    = 8080', 'referenced_security_group_id = aws_security_group.worker.id\n  ip_protocol                  = "tcp"\n  from_port                    = 443', "do not let the worker in on 8080"),
    ("an endpoint that nobody asks", f"{COMPLETE}/network.tf", '    "sqs",\n', '    "secretsmanager",\n    "sqs",\n', "which nobody in the network asks"),
    ("an output that pages ask for", f"{BESIDE}/outputs.tf", 'output "network"', 'output "subnets"', "examples/beside-stereo-spot has no output network"),
    ("operators that cannot be", f"{BESIDE}/main.tf", "  operator_principal_arns = var.operator_principal_arns\n", "", "nobody can be let take"),
    ("a check that says too much", "docs/ops/migrate.md", "`dynamodb:DescribeTable` on everything", "`dynamodb:Query` on everything", "--check-config tries"),
    ("an upgrade that leaves a program", "docs/ops/upgrade.md", " new/inference-server /usr", " /usr", "upgrade.md: does not install inference-server"),
    ("a setting that compose misses", "docs/ops/one-box.md", "FILMS=%s", "MOVIES=%s", "compose asks for FILMS"),
    ("secrets in a commit", ".gitignore", "/deploy/.env\n", "", "deploy/.env has secrets"),
    ("a price of too few", "docs/ops/aws.md", "six interface endpoints", "five interface endpoints", "has six interface endpoints"),
    ("signs out of line", f"{DATA}/queues.tf", "  for_each  = local.queues\n  queue_url", "  for_each = local.queues\n  queue_url", "= is not in column"),
    ("another indentation", f"{DATA}/queues.tf", "  statement {\n    sid       = \"OnlyTls\"", "  statement {\n      sid       = \"OnlyTls\"", "indented by 6"),
]

# Drifts that only Terraform finds.
EVALUATED = [
    ("a key that is not there", f"{WORKER}/environment.tf", 'var.tables["jobs"].name', 'var.tables["films"].name', "Invalid index"),
    ("a value that is refused", f"{ENDPOINT}/outputs.tf", "aws_appautoscaling_target.this.max_capacity", "21", "1 to 20"),
    ("a queue of another name", f"{DATA}/buckets.tf", 'this["video-worker"]', 'this["worker"]', "Invalid index"),
    ("a number of things that only the apply knows", f"{WORKER}/environment.tf", "var.inference_http_token == null ? {} : { INFERENCE_HTTP_TOKEN = var.inference_http_token.arn }", '{ for name, arn in { INFERENCE_HTTP_TOKEN = try(var.inference_http_token.arn, "") } : name => arn if arn != "" }', "Invalid for_each argument"),
    ("types that do not fit", f"{WATCH}/dashboard.tf", "(index % 3) * 8", "row.title * 8", "Invalid operand"),
]


def copied(root, folder):
    for name in NEEDED:
        source, target = root / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("goldens", "target", "*.safetensors"))
        else:
            shutil.copy(source, target)


def planted(folder, drifts, check):
    """What is wrong with the check: drifts that it does not find."""
    for drift, path, there, instead, found in drifts:
        file = folder / path
        text = file.read_text()
        if there not in text:
            yield f"{drift}: {path} does not have {there!r}: plant it otherwise"
            continue
        file.write_text(text.replace(there, instead, 1))
        if not any(found in fault for fault in check(folder)):
            yield f"{drift} is not found; found are {list(check(folder))}"
        file.write_text(text)


def run(root):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        copied(root, folder)
        wrong = [f"nothing is planted, and found: {fault}" for fault in rules.check(folder)]
        wrong += planted(folder, DRIFTS, rules.faults)
        drifts = len(DRIFTS)
        if evaluate.check(Tree(folder)) is not None:
            wrong += planted(folder, EVALUATED, lambda root: evaluate.check(Tree(root)))
            drifts += len(EVALUATED)
    for line in wrong:
        print(f"terraform self-test: {line}")
    if wrong:
        return 1
    print(f"{drifts} planted drifts are found")
    return 0
