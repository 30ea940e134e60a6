# Sources and segments in one bucket, results in the other; both tell their queues what arrives.

resource "aws_s3_bucket" "input" {
  bucket = "${var.name}-input"
}

resource "aws_s3_bucket" "output" {
  bucket = "${var.name}-output"
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = { input = aws_s3_bucket.input.id, output = aws_s3_bucket.output.id }
  bucket                  = each.value
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
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
  depends_on = [aws_sqs_queue_policy.bucket_events]
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
  depends_on = [aws_sqs_queue_policy.bucket_events]
}

# An upload that was cut off leaves parts that nobody sees and everybody pays for.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = { input = aws_s3_bucket.input.id, output = aws_s3_bucket.output.id }
  bucket   = each.value
  rule {
    id     = "end-unfinished-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}
