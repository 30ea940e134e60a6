# The same shape as the module `existing` has, so that either may stand in front of the others.

output "buckets" {
  description = "The two buckets: `input` (sources and segments) and `output` (results)."
  value       = { for name, bucket in local.buckets : name => { name = bucket.id, arn = bucket.arn } }
}

output "queues" {
  description = "The queues that work comes from."
  value = {
    for key, queue in aws_sqs_queue.this :
    key => { name = queue.name, url = queue.url, arn = queue.arn }
  }
}

output "dead_letters" {
  description = "The dead-letter queue of each."
  value = {
    for key, queue in aws_sqs_queue.dead_letters :
    key => { name = queue.name, url = queue.url, arn = queue.arn }
  }
}

output "tables" {
  description = "The ledger's tables."
  value = {
    jobs                  = { name = aws_dynamodb_table.jobs.name, arn = aws_dynamodb_table.jobs.arn }
    segment-completions   = { name = aws_dynamodb_table.segment_completions.name, arn = aws_dynamodb_table.segment_completions.arn }
    reassembly-triggered  = { name = aws_dynamodb_table.reassembly_triggered.name, arn = aws_dynamodb_table.reassembly_triggered.arn }
    inference-invocations = { name = aws_dynamodb_table.inference_invocations.name, arn = aws_dynamodb_table.inference_invocations.arn }
  }
}

output "streams" {
  description = "ARNs of the tables' streams, where there are any."
  value = var.streams ? {
    jobs                = aws_dynamodb_table.jobs.stream_arn
    segment-completions = aws_dynamodb_table.segment_completions.stream_arn
  } : {}
}
