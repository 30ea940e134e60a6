# What the daemon is told. docs/ops/video-worker.md has every variable.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  region          = data.aws_region.current.region
  endpoint_region = var.sagemaker_region == "" ? local.region : var.sagemaker_region

  environment = merge(
    {
      PLATFORM                         = "aws"
      AWS_REGION                       = local.region
      INPUT_BUCKET_NAME                = var.buckets["input"].name
      OUTPUT_BUCKET_NAME               = var.buckets["output"].name
      JOBS_TABLE_NAME                  = var.tables["jobs"].name
      SEGMENT_COMPLETIONS_TABLE_NAME   = var.tables["segment-completions"].name
      REASSEMBLY_TRIGGERED_TABLE_NAME  = var.tables["reassembly-triggered"].name
      INFERENCE_INVOCATIONS_TABLE_NAME = var.tables["inference-invocations"].name
      VIDEO_WORKER_QUEUE_URL           = var.queues["video-worker"].url
      OUTPUT_EVENTS_QUEUE_URL          = var.queues["output-events"].url
      REASSEMBLY_QUEUE_URL             = var.queues["reassembly"].url
      DEAD_LETTER_QUEUE_URL            = var.dead_letters["video-worker"].url
      INFERENCE_BACKEND                = var.inference_backend
      INFERENCE_MAX_IN_FLIGHT          = tostring(var.inference_max_in_flight)
      RETRY_AFTER_LIMIT_SECONDS        = tostring(var.retry_after_limit_seconds)
      COMPLETION_OWNER                 = var.completion_owner
      DAMAGED                          = var.damaged
      LEASE_SECONDS                    = tostring(var.lease_seconds)
      DRAIN_SECONDS                    = tostring(var.drain_seconds)
      SQS_LONG_POLL_WAIT_SECONDS       = tostring(var.sqs_long_poll_wait_seconds)
      HEALTH_ADDRESS                   = "127.0.0.1:9090"
      METRICS_PROVIDER                 = "cloudwatch"
      METRICS_NAMESPACE                = var.metrics_namespace
      LOG_FILTER                       = var.log_filter
      LOG_FORMAT                       = var.log_format
    },
    contains(keys(var.queues), "chunking") ? { CHUNKING_QUEUE_URL = var.queues["chunking"].url } : {},
    var.inference_backend != "sagemaker" ? {} : {
      SAGEMAKER_ENDPOINT_NAME          = var.sagemaker_endpoint_name
      SAGEMAKER_REGION                 = local.endpoint_region
      SAGEMAKER_REQUEST                = var.sagemaker_request
      SAGEMAKER_INVOKE_TIMEOUT_SECONDS = tostring(var.sagemaker_invoke_timeout_seconds)
    },
    var.inference_backend != "http" ? {} : {
      INFERENCE_HTTP_URL            = join(",", var.inference_http_urls)
      INFERENCE_HTTP_ALLOW_PLAIN    = tostring(var.inference_http_allow_plain)
      INFERENCE_HTTP_ANSWER_SECONDS = tostring(var.inference_http_answer_seconds)
    },
    var.extra_environment,
  )

  # Whether there is one is decided by the variable, not by the ARN, which may be known only after the apply.
  secrets = var.inference_http_token == null ? {} : { INFERENCE_HTTP_TOKEN = var.inference_http_token.arn }
}
