# The GPU service behind an asynchronous SageMaker endpoint.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  region  = data.aws_region.current.region
  variant = "AllTraffic"
  device  = var.device != null ? var.device : contains(["draft", "copy"], var.engine) ? "cpu" : "cuda"

  environment = merge(
    {
      SERVER_PROFILE           = "sagemaker"
      SERVER_ENGINE            = var.engine
      SERVER_DEVICE            = local.device
      SERVER_STEPS             = tostring(var.steps)
      SERVER_MEMORY_PLAN       = tostring(var.memory_plan_gib)
      SERVER_SIDE_BY_SIDE      = var.side_by_side
      SERVER_DAMAGED           = var.damaged
      SERVER_RUN_LIMIT_SECONDS = tostring(var.run_limit_seconds)
      SERVER_INPUTS            = "s3://${var.buckets["input"].name}/segments"
      SERVER_OUTPUTS           = "s3://${var.buckets["output"].name}/jobs"
      AWS_REGION               = local.region
      METRICS_PROVIDER         = "cloudwatch"
      METRICS_NAMESPACE        = var.metrics_namespace
      LOG_FILTER               = var.log_filter
    },
    var.weights_s3_uri == null ? {} : { HF_HUB_OFFLINE = "1" },
    local.asks_with_token ? { HF_TOKEN_ARN = aws_secretsmanager_secret.hf_token.arn } : {},
    var.extra_environment,
  )

  asks_with_token = var.hub_token && var.weights_s3_uri == null

  # A model cannot be changed; another one is made beside it and takes over.
  model = "${var.name}-${substr(sha256(jsonencode([var.image, local.environment, var.weights_s3_uri, var.subnet_ids, var.security_group_ids])), 0, 12)}"
}

resource "aws_sagemaker_model" "this" {
  name               = local.model
  execution_role_arn = aws_iam_role.this.arn

  primary_container {
    image       = var.image
    environment = local.environment
    dynamic "model_data_source" {
      for_each = var.weights_s3_uri == null ? [] : [var.weights_s3_uri]
      content {
        s3_data_source {
          s3_uri           = model_data_source.value
          s3_data_type     = "S3Prefix"
          compression_type = "None"
        }
      }
    }
  }

  dynamic "vpc_config" {
    for_each = length(var.subnet_ids) == 0 ? [] : [1]
    content {
      subnets            = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  lifecycle {
    create_before_destroy = true
  }
  depends_on = [aws_iam_role_policy.this]
}

resource "aws_sagemaker_endpoint_configuration" "this" {
  name_prefix = "${var.name}-"

  production_variants {
    variant_name           = local.variant
    model_name             = aws_sagemaker_model.this.name
    instance_type          = var.instance_type
    initial_instance_count = max(1, var.min_instances)
    inference_ami_version  = var.inference_ami_version
    volume_size_in_gb      = var.volume_gib

    container_startup_health_check_timeout_in_seconds = var.startup_timeout_seconds
    model_data_download_timeout_in_seconds            = var.startup_timeout_seconds
  }

  async_inference_config {
    # One GPU computes one segment; a second would wait inside the container, where its time runs.
    client_config {
      max_concurrent_invocations_per_instance = 1
    }
    output_config {
      s3_output_path  = "s3://${var.buckets["output"].name}/sagemaker-async-responses/"
      s3_failure_path = "s3://${var.buckets["output"].name}/sagemaker-async-failures/"
      notification_config {
        success_topic = aws_sns_topic.outcomes["success"].arn
        error_topic   = aws_sns_topic.outcomes["error"].arn
      }
    }
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_sagemaker_endpoint" "this" {
  name                 = var.name
  endpoint_config_name = aws_sagemaker_endpoint_configuration.this.name
  depends_on           = [aws_cloudwatch_log_group.this]
}

# SageMaker would make it without an end.
resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/sagemaker/Endpoints/${var.name}"
  retention_in_days = var.log_days
}

# Outcomes that leave no object are told here alone; the module `data` subscribes the output-events queue.
resource "aws_sns_topic" "outcomes" {
  for_each          = toset(["success", "error"])
  name              = "${var.name}-${each.key}"
  kms_master_key_id = "alias/aws/sns"
}

# Its value is put there by hand, so that no state file holds it:
#   aws secretsmanager put-secret-value --secret-id NAME-hf-token --secret-string ...
resource "aws_secretsmanager_secret" "hf_token" {
  name        = "${var.name}-hf-token"
  description = "Read token of the account that accepted the models' licences on the hub."
}
