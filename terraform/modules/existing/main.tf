# Buckets, queues and tables that another deployment made, in the shape of the module `data`. Nothing is
# changed about them: their notifications, policies and alarms stay what they are.

variable "buckets" {
  description = "Names of the buckets `input` and `output`."
  type        = object({ input = string, output = string })
}

variable "queues" {
  description = "Names of the queues, by what they are to the worker. `chunking` may be left out."
  type = object({
    chunking      = optional(string)
    video-worker  = string
    output-events = string
    reassembly    = string
  })
}

variable "dead_letters" {
  description = "Names of the dead-letter queues, by the same keys."
  type        = map(string)
}

variable "tables" {
  description = "Names of the ledger's tables."
  type = object({
    jobs                  = string
    segment-completions   = string
    reassembly-triggered  = string
    inference-invocations = string
  })
}

data "aws_s3_bucket" "this" {
  for_each = { input = var.buckets.input, output = var.buckets.output }
  bucket   = each.value
}

data "aws_sqs_queue" "this" {
  for_each = { for key, name in var.queues : key => name if name != null }
  name     = each.value
}

data "aws_sqs_queue" "dead_letters" {
  for_each = var.dead_letters
  name     = each.value
}

data "aws_dynamodb_table" "this" {
  for_each = var.tables
  name     = each.value
}

output "buckets" {
  description = "The two buckets."
  value       = { for key, bucket in data.aws_s3_bucket.this : key => { name = bucket.id, arn = bucket.arn } }
}

output "queues" {
  description = "The queues that work comes from."
  value = {
    for key, queue in data.aws_sqs_queue.this : key => { name = queue.name, url = queue.url, arn = queue.arn }
  }
}

output "dead_letters" {
  description = "The dead-letter queue of each."
  value = {
    for key, queue in data.aws_sqs_queue.dead_letters :
    key => { name = queue.name, url = queue.url, arn = queue.arn }
  }
}

output "tables" {
  description = "The ledger's tables."
  value       = { for key, table in data.aws_dynamodb_table.this : key => { name = table.name, arn = table.arn } }
}
