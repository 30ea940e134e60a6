# What the containers and SageMaker around them may do.

locals {
  # ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:...
  registry   = regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.[^/]+/([^@]+)@", var.image)
  repository = "arn:${data.aws_partition.current.partition}:ecr:${local.registry[1]}:${local.registry[0]}:repository/${local.registry[2]}"
  input      = var.buckets["input"].arn
  output     = var.buckets["output"].arn
  weights    = var.weights_s3_uri == null ? [] : [trimprefix(var.weights_s3_uri, "s3://")]
}

data "aws_iam_policy_document" "this" {
  # A segment, and those before it, which lead it in.
  statement {
    sid       = "ReadSegments"
    actions   = ["s3:GetObject"]
    resources = ["${local.input}/segments/*"]
  }
  statement {
    sid       = "Results"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${local.output}/jobs/*"]
  }
  statement {
    sid       = "ReadRequests"
    actions   = ["s3:GetObject"]
    resources = ["${local.output}/sagemaker-invocation-requests/*"]
  }
  statement {
    sid     = "WriteOutcomes"
    actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
    resources = [
      "${local.output}/sagemaker-async-responses/*",
      "${local.output}/sagemaker-async-failures/*",
    ]
  }
  # Without it a missing object looks forbidden.
  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [local.input, local.output]
  }
  dynamic "statement" {
    for_each = local.weights
    content {
      sid       = "ReadWeights"
      actions   = ["s3:GetObject"]
      resources = ["arn:${data.aws_partition.current.partition}:s3:::${statement.value}*"]
    }
  }
  dynamic "statement" {
    for_each = local.weights
    content {
      sid       = "ListWeights"
      actions   = ["s3:ListBucket"]
      resources = ["arn:${data.aws_partition.current.partition}:s3:::${split("/", statement.value)[0]}"]
    }
  }
  dynamic "statement" {
    for_each = local.asks_with_token ? [1] : []
    content {
      sid       = "ReadToken"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [aws_secretsmanager_secret.hf_token.arn]
    }
  }
  statement {
    sid       = "TellOutcomes"
    actions   = ["sns:Publish"]
    resources = [for topic in aws_sns_topic.outcomes : topic.arn]
  }
  statement {
    sid       = "Metrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # The action knows no resources; the namespaces bound it.
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [var.metrics_namespace, "AWS/SageMaker", "/aws/sagemaker/Endpoints"]
    }
  }
  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
  statement {
    sid       = "PullImage"
    actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = [local.repository]
  }
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # The action knows no resources.
  }
  # Containers in a network of one's own: SageMaker makes their interfaces, with the rights that its own page
  # asks for, on everything. Which network is the model's.
  dynamic "statement" {
    for_each = length(var.subnet_ids) == 0 ? [] : [1]
    content {
      sid = "AttachNetwork"
      actions = [
        "ec2:CreateNetworkInterface",
        "ec2:CreateNetworkInterfacePermission",
        "ec2:DeleteNetworkInterface",
        "ec2:DeleteNetworkInterfacePermission",
        "ec2:DescribeDhcpOptions",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSecurityGroups",
        "ec2:DescribeSubnets",
        "ec2:DescribeVpcs",
      ]
      resources = ["*"]
    }
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["sagemaker.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-endpoint"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "inference-server"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}
