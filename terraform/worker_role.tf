# What the worker may do, and nothing else.

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "ReadSegments"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.input.arn}/input/*", "${aws_s3_bucket.input.arn}/segments/*"]
  }
  statement {
    sid       = "WriteSegments"
    actions   = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.input.arn}/segments/*"]
  }
  statement {
    sid     = "Results"
    actions = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [
      "${aws_s3_bucket.output.arn}/jobs/*",
      "${aws_s3_bucket.output.arn}/sagemaker-invocation-requests/*",
    ]
  }
  statement {
    sid     = "AsyncOutcomes"
    actions = ["s3:GetObject"]
    resources = [
      "${aws_s3_bucket.output.arn}/sagemaker-async-responses/*",
      "${aws_s3_bucket.output.arn}/sagemaker-async-failures/*",
    ]
  }
  # Without it a missing object looks forbidden.
  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.input.arn, aws_s3_bucket.output.arn]
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
    resources = [
      aws_dynamodb_table.jobs.arn,
      "${aws_dynamodb_table.jobs.arn}/index/*",
      aws_dynamodb_table.segment_completions.arn,
      aws_dynamodb_table.reassembly_triggered.arn,
      aws_dynamodb_table.inference_invocations.arn,
    ]
  }
  statement {
    sid = "Receive"
    actions = [
      "sqs:ChangeMessageVisibility",
      "sqs:DeleteMessage",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
    ]
    resources = [for queue in aws_sqs_queue.this : queue.arn]
  }
  statement {
    sid     = "Send"
    actions = ["sqs:GetQueueAttributes", "sqs:SendMessage"]
    resources = concat(
      [for name in ["chunking", "video-worker", "reassembly"] : aws_sqs_queue.this[name].arn],
      [for queue in aws_sqs_queue.dead_letters : queue.arn],
    )
  }
  statement {
    sid       = "Conversions"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # The action knows no resources; the namespace bounds it.
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = ["StereoSpot/Conversion"]
    }
  }
  dynamic "statement" {
    for_each = var.sagemaker_endpoint_name == "" ? [] : [var.sagemaker_endpoint_name]
    content {
      sid       = "Invoke"
      actions   = ["sagemaker:InvokeEndpointAsync"]
      resources = ["arn:aws:sagemaker:${var.region}:${var.account_id}:endpoint/${lower(statement.value)}"]
    }
  }
}

resource "aws_iam_policy" "worker" {
  name   = "${var.name}-video-worker"
  policy = data.aws_iam_policy_document.worker.json
}
