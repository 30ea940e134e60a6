# What the servers may do, on a box or elsewhere.

locals {
  # ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:...: account, region and name; none without boxes.
  repositories = local.boxes == 0 ? [] : [regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.[^/]+/([^@]+)@", var.image)]
}

data "aws_iam_policy_document" "server" {
  # A segment, and those before it, which lead it in.
  statement {
    sid       = "ReadSegments"
    actions   = ["s3:GetObject"]
    resources = ["${var.buckets["input"].arn}/segments/*"]
  }
  statement {
    sid       = "Results"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    resources = ["${var.buckets["output"].arn}/jobs/*"]
  }
  # Without it a missing object looks forbidden.
  statement {
    sid       = "TellMissingFromForbidden"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets["input"].arn, var.buckets["output"].arn]
  }
  statement {
    sid       = "Metrics"
    actions   = ["cloudwatch:PutMetricData"]
    resources = ["*"] # The action knows no resources; the namespace bounds it.
    condition {
      test     = "StringEquals"
      variable = "cloudwatch:namespace"
      values   = [var.metrics_namespace]
    }
  }
  dynamic "statement" {
    for_each = var.hub_token ? [1] : []
    content {
      sid       = "ReadHubToken"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [aws_secretsmanager_secret.this["hf-token"].arn]
    }
  }
}

# And what the machine around the container may.
data "aws_iam_policy_document" "box" {
  source_policy_documents = [data.aws_iam_policy_document.server.json]
  # Its script reads them before the container starts; servers elsewhere are told theirs.
  statement {
    sid       = "ReadServerTokens"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.this["server-tokens"].arn]
  }
  statement {
    sid       = "WriteLog"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }
  dynamic "statement" {
    for_each = local.repositories
    content {
      sid       = "PullImage"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:${data.aws_partition.current.partition}:ecr:${statement.value[1]}:${statement.value[0]}:repository/${statement.value[2]}"]
    }
  }
  statement {
    sid       = "LogInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # The action knows no resources.
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name               = "${var.name}-inference-server"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "inference-server"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.box.json
}

# A session on a box without a key and an open port.
resource "aws_iam_role_policy_attachment" "sessions" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "this" {
  name = "${var.name}-inference-server"
  role = aws_iam_role.this.name
}

# Servers elsewhere have no role to take. The user's keys are made by hand, for no state file to hold.
resource "aws_iam_user" "elsewhere" {
  count = length(var.elsewhere) == 0 ? 0 : 1
  name  = "${var.name}-inference-server"
}

resource "aws_iam_user_policy" "elsewhere" {
  count  = length(var.elsewhere) == 0 ? 0 : 1
  name   = "inference-server"
  user   = aws_iam_user.elsewhere[0].name
  policy = data.aws_iam_policy_document.server.json
}
