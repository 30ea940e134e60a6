# Who runs the operator's commands: submit, jobs, explain, redrive, retry-now, release, cancel, delete, pause
# and resume. No service has these rights.

data "aws_iam_policy_document" "operator" {
  source_policy_documents = [data.aws_iam_policy_document.every.json]

  # redrive looks through every dead-letter queue; which they are is in the other queues' policies.
  statement {
    sid = "DeadLetters"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
    ]
    resources = local.dead_letters
  }
  statement {
    sid       = "SendBack"
    actions   = ["sqs:SendMessage"]
    resources = concat([for queue in var.queues : queue.arn], local.dead_letters)
  }
  statement {
    sid       = "Submit"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.input}/input/*"]
  }
  statement {
    sid     = "LookAtObjects"
    actions = ["s3:GetObject"]
    resources = concat(
      [for prefix in local.prefixes.input : "${local.input}/${prefix}"],
      [for prefix in local.prefixes.output : "${local.output}/${prefix}"],
    )
  }
  statement {
    sid     = "DeleteObjects"
    actions = ["s3:DeleteObject"]
    resources = concat(
      [for prefix in local.prefixes.input : "${local.input}/${prefix}"],
      [for prefix in local.prefixes.output : "${local.output}/${prefix}"],
    )
  }
  statement {
    sid       = "DeleteRows" # a job's own row stays
    actions   = ["dynamodb:BatchWriteItem"]
    resources = [for key, table in var.tables : table.arn if key != "jobs"]
  }
}

data "aws_iam_policy_document" "operator_trust" {
  source_policy_documents = [data.aws_iam_policy_document.tasks.json]
  dynamic "statement" {
    for_each = length(var.operator_principal_arns) == 0 ? [] : [var.operator_principal_arns]
    content {
      actions = ["sts:AssumeRole"]
      principals {
        type        = "AWS"
        identifiers = statement.value
      }
    }
  }
}

resource "aws_iam_role" "operator" {
  name               = "${var.name}-operator"
  assume_role_policy = data.aws_iam_policy_document.operator_trust.json
}

resource "aws_iam_role_policy" "operator" {
  name   = "video-worker"
  role   = aws_iam_role.operator.id
  policy = data.aws_iam_policy_document.operator.json
}
