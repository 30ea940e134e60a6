# Sources and segments in one bucket, results in the other; both tell their queues what arrives.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

# Names of buckets are one space for everybody, so the account's number is part of them.
resource "aws_s3_bucket" "input" {
  bucket = "${var.name}-input-${data.aws_caller_identity.current.account_id}"
}

resource "aws_s3_bucket" "output" {
  bucket = "${var.name}-output-${data.aws_caller_identity.current.account_id}"
}

locals {
  buckets = {
    input  = { id = aws_s3_bucket.input.id, arn = aws_s3_bucket.input.arn }
    output = { id = aws_s3_bucket.output.id, arn = aws_s3_bucket.output.arn }
  }

  # What goes after how many days, by bucket and prefix.
  expiries = {
    input = {
      "input/"    = var.expiry_days.sources
      "segments/" = var.expiry_days.segments
    }
    output = {
      "jobs/"                          = var.expiry_days.results
      "sagemaker-invocation-requests/" = var.expiry_days.requests
      "sagemaker-async-responses/"     = var.expiry_days.requests
      "sagemaker-async-failures/"      = var.expiry_days.requests
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = local.buckets
  bucket                  = each.value.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.buckets
  bucket   = each.value.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets
  bucket   = each.value.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  for_each = local.buckets
  statement {
    sid       = "OnlyTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [each.value.arn, "${each.value.arn}/*"]
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
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.buckets
  bucket   = each.value.id
  policy   = data.aws_iam_policy_document.bucket[each.key].json

  # Both change the bucket's policy state; one after the other they do not conflict.
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_notification" "input" {
  bucket = aws_s3_bucket.input.id
  queue {
    queue_arn     = aws_sqs_queue.this["chunking"].arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "input/"
  }
  queue {
    queue_arn     = aws_sqs_queue.this["video-worker"].arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = "segments/"
  }
  depends_on = [aws_sqs_queue_policy.this]
}

resource "aws_s3_bucket_notification" "output" {
  bucket = aws_s3_bucket.output.id
  dynamic "queue" {
    for_each = ["jobs/", "sagemaker-async-responses/", "sagemaker-async-failures/"]
    content {
      queue_arn     = aws_sqs_queue.this["output-events"].arn
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = queue.value
    }
  }
  depends_on = [aws_sqs_queue_policy.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.buckets
  bucket   = each.value.id

  # An upload that was cut off leaves parts that nobody sees and everybody pays for.
  rule {
    id     = "end-unfinished-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  dynamic "rule" {
    for_each = { for prefix, days in local.expiries[each.key] : prefix => days if days != null }
    content {
      id     = "expire-${trimsuffix(rule.key, "/")}"
      status = "Enabled"
      filter {
        prefix = rule.key
      }
      expiration {
        days = rule.value
      }
    }
  }
}

resource "aws_s3_bucket_cors_configuration" "this" {
  for_each = length(var.cors_origins) == 0 ? {} : local.buckets
  bucket   = each.value.id
  cors_rule {
    allowed_methods = each.key == "input" ? ["PUT"] : ["GET", "HEAD"]
    allowed_origins = var.cors_origins
    allowed_headers = ["*"]
    expose_headers  = ["ETag"]
    max_age_seconds = 3600
  }
}
