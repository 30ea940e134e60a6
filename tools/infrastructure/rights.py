"""What the SDK is asked for may be done, and nothing else may."""

import re

from hcl import actions_in

# Methods of the SDK's clients, and the action that each needs. A method that is not here is a fault.
ACTIONS = {
    "get_object": ["s3:GetObject"],
    "head_object": ["s3:GetObject"],
    "put_object": ["s3:PutObject"],
    "copy_object": ["s3:GetObject", "s3:PutObject"],
    "delete_object": ["s3:DeleteObject"],
    "delete_objects": ["s3:DeleteObject"],
    "create_multipart_upload": ["s3:PutObject"],
    "upload_part": ["s3:PutObject"],
    "complete_multipart_upload": ["s3:PutObject"],
    "abort_multipart_upload": ["s3:AbortMultipartUpload"],
    "head_bucket": ["s3:ListBucket"],
    "list_objects_v2": ["s3:ListBucket"],
    "receive_message": ["sqs:ReceiveMessage"],
    "delete_message": ["sqs:DeleteMessage"],
    "delete_message_batch": ["sqs:DeleteMessage"],
    "change_message_visibility": ["sqs:ChangeMessageVisibility"],
    "send_message": ["sqs:SendMessage"],
    "get_queue_attributes": ["sqs:GetQueueAttributes"],
    "get_queue_url": ["sqs:GetQueueUrl"],
    "describe_table": ["dynamodb:DescribeTable"],
    "get_item": ["dynamodb:GetItem"],
    "batch_get_item": ["dynamodb:BatchGetItem"],
    "transact_get_items": ["dynamodb:GetItem"],
    "query": ["dynamodb:Query"],
    "scan": ["dynamodb:Scan"],
    "put_item": ["dynamodb:PutItem"],
    "update_item": ["dynamodb:UpdateItem"],
    "delete_item": ["dynamodb:DeleteItem"],
    "batch_write_item": ["dynamodb:BatchWriteItem"],
    "transact_write_items": [],  # what its parts need: below
    "invoke_endpoint_async": ["sagemaker:InvokeEndpointAsync"],
    "put_metric_data": ["cloudwatch:PutMetricData"],
    "get_secret_value": ["secretsmanager:GetSecretValue"],
}
# Parts of a transaction, by the type that is built.
PARTS = {
    "ConditionCheck": "dynamodb:ConditionCheckItem",
    "Put": "dynamodb:PutItem",
    "Update": "dynamodb:UpdateItem",
    "Delete": "dynamodb:DeleteItem",
}
# Services that a program has no client for.
WITHOUT = {
    "worker": {"secretsmanager"},
    "endpoint": {"sqs", "dynamodb", "sagemaker"},
    "http": {"sqs", "dynamodb", "sagemaker"},
}
# What a program does not do although the adapters could.
NEVER = {
    "worker": {},
    "endpoint": {"s3:DeleteObject": "the server deletes nothing"},
    "http": {"s3:DeleteObject": "the server deletes nothing"},
}
REGISTRY = "the machine around the container fetches the image"
LOG = "the machine around the container writes the log"
NETWORK = "SageMaker attaches containers to a network of one's own"
# Granted without a call of ours, and why.
FOR_OTHERS = {
    "worker": {"secretsmanager:GetSecretValue": "ECS reads the token before the daemon starts"},
    "endpoint": {
        "sns:Publish": "SageMaker tells outcomes",
        "logs:CreateLogStream": LOG,
        "logs:DescribeLogStreams": LOG,
        "logs:PutLogEvents": LOG,
        "ecr:BatchCheckLayerAvailability": REGISTRY,
        "ecr:BatchGetImage": REGISTRY,
        "ecr:GetDownloadUrlForLayer": REGISTRY,
        "ecr:GetAuthorizationToken": REGISTRY,
        "ec2:CreateNetworkInterface": NETWORK,
        "ec2:CreateNetworkInterfacePermission": NETWORK,
        "ec2:DeleteNetworkInterface": NETWORK,
        "ec2:DeleteNetworkInterfacePermission": NETWORK,
        "ec2:DescribeDhcpOptions": NETWORK,
        "ec2:DescribeNetworkInterfaces": NETWORK,
        "ec2:DescribeSecurityGroups": NETWORK,
        "ec2:DescribeSubnets": NETWORK,
        "ec2:DescribeVpcs": NETWORK,
    },
    "http": {
        "logs:CreateLogStream": LOG,
        "logs:PutLogEvents": LOG,
        "ecr:BatchCheckLayerAvailability": REGISTRY,
        "ecr:BatchGetImage": REGISTRY,
        "ecr:GetDownloadUrlForLayer": REGISTRY,
        "ecr:GetAuthorizationToken": REGISTRY,
    },
}
# Only an operator's commands do these.
OPERATORS = {"s3:DeleteObject", "dynamodb:BatchWriteItem"}


def calls(tree):
    """(path, method) of every call of a client."""
    client = r"(?:client|sqs\(\)|s3\(\)|dynamodb\(\)|sagemaker\(\)|secrets\(\)|cloudwatch\(\))\s*\.\s*([a-z_0-9]+)\(\)"
    for path, text in tree.rust("crates/platform/aws/src"):
        for method in re.findall(client, text):
            yield path, method


def needed(tree):
    """(actions, faults)"""
    actions, faults = set(), []
    for path, method in calls(tree):
        if method in ACTIONS:
            actions |= set(ACTIONS[method])
        elif method not in ("clone", "region", "config"):
            faults.append(f"{path}: no action is known for the SDK's call {method}: name it in rights.py")
    for _, text in tree.rust("crates/platform/aws/src/ledger"):
        actions |= {action for part, action in PARTS.items() if re.search(rf"\b{part}::builder\(\)", text)}
    return actions, faults


def granted(tree, module, documents=None):
    found = set()
    for _, name, document in tree.module(module).resources("aws_iam_policy_document", "data"):
        for _, actions, statement in actions_in(document):
            if "principals" not in statement and documents in (None, name):
                found |= set(actions)
    return found


def sends(tree):
    """A message that waits for long is sent anew to its own queue, so whoever receives from a queue sends to it."""
    worker = tree.module("worker")
    for role, queue in worker.locals["queue_of"].items():
        if queue not in worker.locals["sends_of"].get(role, []):
            yield f"modules/worker: the role {role} may not send to {queue}, from which it receives"
    for page in ("docs/ops/migrate.md", "docs/ops/video-worker.md"):
        said = " ".join(tree.read(page).split())
        if not re.search(r"SendMessage` on every queue that it receives from|every queue that it receives from[^|]*\| `sqs:SendMessage`", said):
            yield f"{page}: does not say that the daemon sends to every queue that it receives from"


def tried(tree):
    """What the start tries is all that it can say is missing, and the page for new roles says what that is."""
    page = "docs/ops/migrate.md"
    said = re.search(r"`video-worker --check-config`[^.]*? tries ([^.]*)\.", " ".join(tree.read(page).split()))
    named = set(re.findall(r"`(\w+:\w+)`", said.group(1))) if said else set()
    code = set(re.findall(r'checks\s*\.add\([^;]*?"(\w+:\w+)"', tree.read("bin/video-worker/src/platform/aws/connect.rs"), re.S))
    if named != code:
        yield f"{page}: --check-config tries {sorted(code)}, not {sorted(named)}"


def check(tree):
    wanted, faults = needed(tree)
    for module in WITHOUT:
        own = {action for action in wanted if action.split(":")[0] not in WITHOUT[module]} - set(NEVER[module])
        have, others = granted(tree, module), FOR_OTHERS[module]
        for action in sorted(own - have):
            faults.append(f"modules/{module}: the SDK is asked for what needs {action}, which nobody is granted")
        for action in sorted(have - own - set(others)):
            faults.append(f"modules/{module}: {action} is granted and never used")
        for action in sorted(set(others) - have):
            faults.append(f"rights.py: {action} is not granted in modules/{module} any more")
        for action in sorted(have):
            if "*" in action:
                faults.append(f"modules/{module}: {action} grants more than can be listed")
    for action in sorted(OPERATORS & (granted(tree, "worker", "every") | granted(tree, "worker", "worker"))):
        faults.append(f"modules/worker: a service is granted {action}, which is for operators")
    return [*faults, *sends(tree), *tried(tree)]
