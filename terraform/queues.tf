# Every queue with its dead-letter queue beside it. A dead-letter queue keeps messages longer than
# its source, because the age of a message counts from when it was first sent.

locals {
  # The worker asks for visibility itself and renews it while work runs; these are the defaults for
  # anything else that receives. max_receives is a backstop above the worker's own bound of 100:
  # the worker copies hopeless messages to the dead-letter queue together with the reason.
  queues = {
    chunking      = { visibility_seconds = 120, max_receives = 120 }
    video-worker  = { visibility_seconds = 120, max_receives = 120 }
    output-events = { visibility_seconds = 120, max_receives = 120 }
    reassembly    = { visibility_seconds = 120, max_receives = 120 }
  }
}

resource "aws_sqs_queue" "dead_letters" {
  for_each                  = local.queues
  name                      = "${var.name}-${each.key}-dlq"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "this" {
  for_each                   = local.queues
  name                       = "${var.name}-${each.key}"
  visibility_timeout_seconds = each.value.visibility_seconds
  message_retention_seconds  = 7 * 24 * 3600
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = each.value.max_receives
  })
}

# Only this account's own buckets may send events.
data "aws_iam_policy_document" "bucket_events" {
  for_each = toset(["chunking", "video-worker", "output-events"])
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.this[each.key].arn]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [each.key == "output-events" ? aws_s3_bucket.output.arn : aws_s3_bucket.input.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

resource "aws_sqs_queue_policy" "bucket_events" {
  for_each  = data.aws_iam_policy_document.bucket_events
  queue_url = aws_sqs_queue.this[each.key].url
  policy    = each.value.json
}
