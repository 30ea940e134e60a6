# What each service may do, and nothing else: what a role of the daemon needs is said once here, and a
# service gets what its roles need.

locals {
  # The queue that a role receives from.
  queue_of = {
    segments      = "video-worker"
    output-events = "output-events"
    chunking      = "chunking"
    reassembly    = "reassembly"
  }
  # The queues that a role sends to: its own, when a message waits for long; what completes a job; and events
  # that were lost.
  sends_of = {
    segments      = ["video-worker", "reassembly"]
    output-events = ["output-events", "reassembly"]
    chunking      = ["chunking", "reassembly"]
    reassembly    = ["reassembly"]
    reconcile     = ["chunking", "video-worker", "reassembly"]
  }

  receives = {
    for service, it in local.services :
    service => [for role in it.roles : var.queues[local.queue_of[role]].arn if role != "reconcile"]
  }
  sends = {
    for service, it in local.services : service => [
      for name in distinct(flatten([for role in it.roles : local.sends_of[role]])) :
      var.queues[name].arn if contains(keys(var.queues), name)
    ]
  }
  does_media = {
    for service, it in local.services :
    service => length(setintersection(it.roles, ["chunking", "reassembly"])) > 0
  }
  asks_a_backend = {
    for service, it in local.services :
    service => length(setintersection(it.roles, ["segments", "output-events", "reconcile"])) > 0
  }

  input  = var.buckets["input"].arn
  output = var.buckets["output"].arn
  prefixes = {
    input  = ["input/*", "segments/*"]
    output = ["jobs/*", "sagemaker-*"]
  }
  ledger = concat([for table in var.tables : table.arn], ["${var.tables["jobs"].arn}/index/*"])
  # One queue may be the dead letters of several.
  dead_letters = distinct([for queue in var.dead_letters : queue.arn])
}

# Of every service.
data "aws_iam_policy_document" "every" {
  # Without it a missing object looks forbidden. The start asks for it without a prefix.
  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [local.input, local.output]
  }
  statement {
    sid = "Ledger"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DescribeTable",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = local.ledger
  }
  statement {
    sid       = "Bury"
    actions   = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    resources = [var.dead_letters["video-worker"].arn]
  }
  # The start looks at every queue that is named, whether a role receives from it or not.
  statement {
    sid       = "Look"
    actions   = ["sqs:GetQueueAttributes"]
    resources = [for queue in var.queues : queue.arn]
  }
  statement {
    sid       = "Metrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # The action knows no resources; the namespace bounds it.
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [var.metrics_namespace]
    }
  }
}

data "aws_iam_policy_document" "worker" {
  for_each                = local.services
  source_policy_documents = [data.aws_iam_policy_document.every.json]

  dynamic "statement" {
    for_each = length(local.receives[each.key]) == 0 ? [] : [local.receives[each.key]]
    content {
      sid       = "Receive"
      actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
      resources = statement.value
    }
  }
  statement {
    sid       = "Send"
    actions   = ["sqs:SendMessage"]
    resources = local.sends[each.key]
  }
  statement {
    sid       = "ReadInput"
    actions   = ["s3:GetObject"]
    resources = ["${local.input}/input/*", "${local.input}/segments/*"]
  }
  statement {
    sid       = "ReadResults"
    actions   = ["s3:GetObject"]
    resources = ["${local.output}/jobs/*"]
  }
  dynamic "statement" {
    for_each = local.does_media[each.key] ? [1] : []
    content {
      sid       = "CutAndJoin"
      actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
      resources = ["${local.input}/segments/*", "${local.output}/jobs/*"]
    }
  }
  dynamic "statement" {
    for_each = local.asks_a_backend[each.key] && var.inference_backend == "stub" ? [1] : []
    content {
      sid       = "Copy"
      actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
      resources = ["${local.output}/jobs/*"]
    }
  }
  dynamic "statement" {
    for_each = local.asks_a_backend[each.key] && var.inference_backend == "sagemaker" ? [1] : []
    content {
      sid       = "Requests"
      actions   = ["s3:GetObject", "s3:PutObject"]
      resources = ["${local.output}/sagemaker-invocation-requests/*"]
    }
  }
  dynamic "statement" {
    for_each = local.asks_a_backend[each.key] && var.inference_backend == "sagemaker" ? [1] : []
    content {
      sid     = "Outcomes"
      actions = ["s3:GetObject"]
      resources = [
        "${local.output}/sagemaker-async-responses/*",
        "${local.output}/sagemaker-async-failures/*",
      ]
    }
  }
  dynamic "statement" {
    for_each = local.asks_a_backend[each.key] && var.inference_backend == "sagemaker" ? [1] : []
    content {
      sid     = "Invoke"
      actions = ["sagemaker:InvokeEndpointAsync"]
      resources = [
        "arn:${data.aws_partition.current.partition}:sagemaker:${local.endpoint_region}:${data.aws_caller_identity.current.account_id}:endpoint/${lower(var.sagemaker_endpoint_name)}",
      ]
    }
  }
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role" "worker" {
  for_each           = local.services
  name               = "${var.name}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy" "worker" {
  for_each = local.services
  name     = "video-worker"
  role     = aws_iam_role.worker[each.key].id
  policy   = data.aws_iam_policy_document.worker[each.key].json
}

# What ECS may do to start a task: fetch the image, write the log and read the one secret.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-worker-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "execution_secrets" {
  for_each = local.secrets
  statement {
    sid       = "ReadToken"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [each.value]
  }
}

resource "aws_iam_role_policy" "execution_secrets" {
  for_each = local.secrets
  name     = "read-${lower(replace(each.key, "_", "-"))}"
  role     = aws_iam_role.execution.id
  policy   = data.aws_iam_policy_document.execution_secrets[each.key].json
}
