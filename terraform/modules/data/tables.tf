# The tables of the wire contract. Only keys and indexes are declared; other attributes are free.

resource "aws_dynamodb_table" "jobs" {
  name         = "${var.name}-jobs"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "job_id"

  deletion_protection_enabled = var.deletion_protection
  stream_enabled              = var.streams
  stream_view_type            = var.streams ? "NEW_AND_OLD_IMAGES" : null

  attribute {
    name = "job_id"
    type = "S"
  }
  attribute {
    name = "status"
    type = "S"
  }
  attribute {
    name = "created_at"
    type = "N"
  }
  attribute {
    name = "completed_at"
    type = "N"
  }
  global_secondary_index {
    name            = "status-created_at"
    hash_key        = "status"
    range_key       = "created_at"
    projection_type = "ALL"
  }
  global_secondary_index {
    name            = "status-completed_at"
    hash_key        = "status"
    range_key       = "completed_at"
    projection_type = "ALL"
  }
  point_in_time_recovery {
    enabled = true
  }
}

resource "aws_dynamodb_table" "segment_completions" {
  name         = "${var.name}-segment-completions"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "job_id"
  range_key    = "segment_index"

  deletion_protection_enabled = var.deletion_protection
  stream_enabled              = var.streams
  stream_view_type            = var.streams ? "NEW_AND_OLD_IMAGES" : null

  attribute {
    name = "job_id"
    type = "S"
  }
  attribute {
    name = "segment_index"
    type = "N"
  }
  point_in_time_recovery {
    enabled = true
  }
}

resource "aws_dynamodb_table" "reassembly_triggered" {
  name         = "${var.name}-reassembly-triggered"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "job_id"

  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "job_id"
    type = "S"
  }
  ttl {
    attribute_name = "ttl"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
}

resource "aws_dynamodb_table" "inference_invocations" {
  name         = "${var.name}-inference-invocations"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "output_location"

  deletion_protection_enabled = var.deletion_protection

  attribute {
    name = "output_location"
    type = "S"
  }
  ttl {
    attribute_name = "ttl"
    enabled        = true
  }
  point_in_time_recovery {
    enabled = true
  }
}
