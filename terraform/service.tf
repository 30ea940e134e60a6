# The daemon as an ECS service on Fargate.

resource "aws_cloudwatch_log_group" "worker" {
  name              = "/ecs/${var.name}-video-worker"
  retention_in_days = 365
}

resource "aws_ecs_task_definition" "worker" {
  family                   = "${var.name}-video-worker"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.worker_cpu
  memory                   = var.worker_memory_mib
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.worker.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  # Scratch space for segments that are cut or joined; everything else is read-only.
  volume {
    name = "state"
  }

  container_definitions = jsonencode([
    {
      name                   = "video-worker"
      image                  = var.worker_image
      essential              = true
      user                   = "65532"
      readonlyRootFilesystem = true
      linuxParameters        = { capabilities = { drop = ["ALL"] }, initProcessEnabled = true }
      mountPoints            = [{ sourceVolume = "state", containerPath = "/var/lib/parallax" }]

      # SIGTERM to exit: a receive that runs (8 s) and messages handed back, then running attempts for
      # DRAIN_SECONDS, and a few seconds to tidy up. Fargate allows 120 s.
      stopTimeout = min(120, var.drain_seconds + 20)

      # Alive means that every loop gave its beat; a dependency that is down ends no task.
      healthCheck = {
        command     = ["CMD", "/usr/local/bin/video-worker", "healthy"]
        interval    = 30
        timeout     = 5
        retries     = 3
        startPeriod = 30
      }

      environment = [for name, value in local.worker_environment : { name = name, value = value }]
      secrets = [
        for name, arn in { INFERENCE_HTTP_TOKEN = var.inference_http_token_arn } :
        { name = name, valueFrom = arn } if arn != ""
      ]

      logConfiguration = {
        logDriver = "awslogs"
        options = {
          "awslogs-group"         = aws_cloudwatch_log_group.worker.name
          "awslogs-region"        = var.region
          "awslogs-stream-prefix" = "video-worker"
        }
      }
    }
  ])
}

locals {
  worker_environment = merge(
    {
      PLATFORM                         = "aws"
      AWS_REGION                       = var.region
      INPUT_BUCKET_NAME                = aws_s3_bucket.input.id
      OUTPUT_BUCKET_NAME               = aws_s3_bucket.output.id
      JOBS_TABLE_NAME                  = aws_dynamodb_table.jobs.name
      SEGMENT_COMPLETIONS_TABLE_NAME   = aws_dynamodb_table.segment_completions.name
      REASSEMBLY_TRIGGERED_TABLE_NAME  = aws_dynamodb_table.reassembly_triggered.name
      INFERENCE_INVOCATIONS_TABLE_NAME = aws_dynamodb_table.inference_invocations.name
      CHUNKING_QUEUE_URL               = aws_sqs_queue.this["chunking"].url
      VIDEO_WORKER_QUEUE_URL           = aws_sqs_queue.this["video-worker"].url
      OUTPUT_EVENTS_QUEUE_URL          = aws_sqs_queue.this["output-events"].url
      REASSEMBLY_QUEUE_URL             = aws_sqs_queue.this["reassembly"].url
      DEAD_LETTER_QUEUE_URL            = aws_sqs_queue.dead_letters["video-worker"].url
      INFERENCE_BACKEND                = var.inference_backend
      INFERENCE_MAX_IN_FLIGHT          = tostring(var.inference_max_in_flight)
      DRAIN_SECONDS                    = tostring(var.drain_seconds)
      HEALTH_ADDRESS                   = "127.0.0.1:9090"
      METRICS_PROVIDER                 = "cloudwatch"
    },
    var.sagemaker_endpoint_name == "" ? {} : { SAGEMAKER_ENDPOINT_NAME = var.sagemaker_endpoint_name },
    var.inference_http_url == "" ? {} : { INFERENCE_HTTP_URL = var.inference_http_url },
  )
}

resource "aws_ecs_service" "worker" {
  name            = "${var.name}-video-worker"
  cluster         = var.cluster_arn
  task_definition = aws_ecs_task_definition.worker.arn
  desired_count   = var.worker_count
  launch_type     = "FARGATE"

  # Replicas share one limit and every queue, so the new ones may start before the old ones stop.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = var.security_group_ids
    assign_public_ip = false
  }
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account_id]
    }
  }
}

# What the daemon itself may do: worker_role.tf.
resource "aws_iam_role" "worker" {
  name               = "${var.name}-video-worker"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "worker" {
  role       = aws_iam_role.worker.name
  policy_arn = aws_iam_policy.worker.arn
}

# What ECS may do to start it: fetch the image, write the log and read the one secret.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-video-worker-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "execution_secret" {
  count = var.inference_http_token_arn == "" ? 0 : 1
  name  = "read-token"
  role  = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = var.inference_http_token_arn
    }]
  })
}
