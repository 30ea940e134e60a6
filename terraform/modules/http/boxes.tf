# Inference servers for the worker's backend `http`: GPU machines here, or somebody else's.

data "aws_region" "current" {}
data "aws_partition" "current" {}
data "aws_caller_identity" "current" {}

locals {
  region = data.aws_region.current.region
  boxes  = length(var.elsewhere) == 0 ? var.boxes : 0
  device = var.device != null ? var.device : contains(["draft", "copy"], var.engine) ? "cpu" : "cuda"

  environment = merge(
    {
      SERVER_PROFILE      = "http"
      SERVER_ADDRESS      = "0.0.0.0:8080"
      SERVER_ENGINE       = var.engine
      SERVER_DEVICE       = local.device
      SERVER_MEMORY_PLAN  = tostring(var.memory_plan_gib)
      SERVER_SIDE_BY_SIDE = var.side_by_side
      SERVER_DAMAGED      = var.damaged
      SERVER_INPUTS       = "s3://${var.buckets["input"].name}/segments"
      SERVER_OUTPUTS      = "s3://${var.buckets["output"].name}/jobs"
      AWS_REGION          = local.region
      METRICS_PROVIDER    = "cloudwatch"
      METRICS_NAMESPACE   = var.metrics_namespace
      LOG_FILTER          = var.log_filter
    },
    var.hub_token ? { HF_TOKEN_ARN = aws_secretsmanager_secret.this["hf-token"].arn } : {},
    var.extra_environment,
  )
}

# Their values are put there by hand, so that no state file holds them: the bearer tokens that servers take,
# each of 16 characters or more; the one of them that the worker sends; and the hub's read token. The first two
# are apart because servers take an old and a new one while tokens are changed: docs/ops/secrets.md.
resource "aws_secretsmanager_secret" "this" {
  for_each    = toset(concat(["server-tokens", "client-token"], var.hub_token ? ["hf-token"] : []))
  name        = "${var.name}-${each.key}"
  description = "Of the inference servers; set by hand."
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/ec2/${var.name}-inference-server"
  retention_in_days = var.log_days
}

data "aws_ssm_parameter" "ami" {
  count = local.boxes == 0 ? 0 : 1
  name  = var.ami_parameter
}

resource "aws_instance" "box" {
  count                  = local.boxes
  ami                    = data.aws_ssm_parameter.ami[0].insecure_value
  instance_type          = var.instance_type
  subnet_id              = element(var.subnet_ids, count.index)
  vpc_security_group_ids = var.security_group_ids
  iam_instance_profile   = aws_iam_instance_profile.this.name
  ebs_optimized          = true
  monitoring             = true

  user_data = templatefile("${path.module}/box.sh.tftpl", {
    image       = var.image
    registry    = split("/", var.image)[0]
    region      = local.region
    log_group   = aws_cloudwatch_log_group.this.name
    tokens_arn  = aws_secretsmanager_secret.this["server-tokens"].arn
    environment = local.environment
  })
  user_data_replace_on_change = true

  # The container asks for the role through one more hop than the machine itself.
  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = var.volume_gib
    encrypted   = true
  }

  tags = { Name = "${var.name}-inference-server-${count.index}" }

  # A new image of the machine comes with the next change that somebody wants, not by itself.
  lifecycle {
    ignore_changes = [ami]
    precondition {
      condition     = length(var.subnet_ids) > 0 && length(var.security_group_ids) > 0
      error_message = "Boxes need subnet_ids and security_group_ids."
    }
  }
}
