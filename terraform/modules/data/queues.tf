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

  # Who may send besides this account's own roles: the bucket whose events a queue gets.
  event_sources = {
    chunking      = aws_s3_bucket.input.arn
    video-worker  = aws_s3_bucket.input.arn
    output-events = aws_s3_bucket.output.arn
  }

  queue_arns = merge(
    { for name, queue in aws_sqs_queue.this : name => queue.arn },
    { for name, queue in aws_sqs_queue.dead_letters : "${name}-dlq" => queue.arn },
  )
  queue_urls = merge(
    { for name, queue in aws_sqs_queue.this : name => queue.url },
    { for name, queue in aws_sqs_queue.dead_letters : "${name}-dlq" => queue.url },
  )
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
  visibility_timeout_seconds = lookup(var.visibility_seconds, each.key, each.value.visibility_seconds)
  message_retention_seconds  = 7 * 24 * 3600
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters[each.key].arn
    maxReceiveCount     = each.value.max_receives
  })
}

resource "aws_sqs_queue_redrive_allow_policy" "this" {
  for_each  = local.queues
  queue_url = aws_sqs_queue.dead_letters[each.key].url
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.this[each.key].arn]
  })
}

data "aws_iam_policy_document" "queue" {
  for_each = toset(concat(keys(local.queues), [for name in keys(local.queues) : "${name}-dlq"]))
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = [local.queue_arns[each.key]]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # Only this account's own buckets may send events.
  dynamic "statement" {
    for_each = { for name, arn in local.event_sources : name => arn if name == each.key }
    content {
      sid       = "BucketEvents"
      actions   = ["sqs:SendMessage"]
      resources = [local.queue_arns[each.key]]
      principals {
        type        = "Service"
        identifiers = ["s3.amazonaws.com"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [statement.value]
      }
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [data.aws_caller_identity.current.account_id]
      }
    }
  }

  # And only the endpoint's own topics outcomes.
  dynamic "statement" {
    for_each = each.key == "output-events" ? var.outcome_topic_arns : {}
    content {
      sid       = "Outcomes${title(statement.key)}"
      actions   = ["sqs:SendMessage"]
      resources = [local.queue_arns[each.key]]
      principals {
        type        = "Service"
        identifiers = ["sns.amazonaws.com"]
      }
      condition {
        test     = "ArnEquals"
        variable = "aws:SourceArn"
        values   = [statement.value]
      }
    }
  }
}

resource "aws_sqs_queue_policy" "this" {
  for_each  = data.aws_iam_policy_document.queue
  queue_url = local.queue_urls[each.key]
  policy    = each.value.json
}

resource "aws_sns_topic_subscription" "outcomes" {
  for_each             = var.outcome_topic_arns
  topic_arn            = each.value
  protocol             = "sqs"
  endpoint             = aws_sqs_queue.this["output-events"].arn
  raw_message_delivery = true
  depends_on           = [aws_sqs_queue_policy.this]
}
