# The daemon as two ECS services on Fargate, and a task that runs an operator's command.

locals {
  services = merge(
    {
      segments = {
        roles      = var.segments.roles
        cpu        = var.segments.cpu
        memory_mib = var.segments.memory_mib
        disk_gib   = 0
      }
    },
    var.media == null ? {} : {
      media = {
        roles      = var.media.roles
        cpu        = var.media.cpu
        memory_mib = var.media.memory_mib
        disk_gib   = var.media.disk_gib
      }
    },
  )

  container = {
    name                   = "video-worker"
    image                  = var.image
    essential              = true
    user                   = "65532"
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] }, initProcessEnabled = true }
    mountPoints            = [{ sourceVolume = "state", containerPath = "/var/lib/parallax" }]
    secrets                = [for name, arn in local.secrets : { name = name, valueFrom = arn }]

    # SIGTERM to exit: a receive that runs (8 s) and messages handed back, then running attempts for
    # DRAIN_SECONDS, and a few seconds to tidy up. Fargate allows 120 s.
    stopTimeout = min(120, var.drain_seconds + 20)
  }

  # Alive means that every loop gave its beat; a dependency that is down ends no task.
  health_check = {
    command     = ["CMD", "/usr/local/bin/video-worker", "healthy"]
    interval    = 30
    timeout     = 5
    retries     = 3
    startPeriod = 30
  }
}

resource "aws_cloudwatch_log_group" "worker" {
  for_each          = toset(concat(keys(local.services), ["operator"]))
  name              = "/ecs/${var.name}-${each.key}"
  retention_in_days = var.log_days
}

resource "aws_ecs_task_definition" "worker" {
  for_each                 = local.services
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = each.value.cpu
  memory                   = each.value.memory_mib
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.worker[each.key].arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  # Fargate has 20 GiB without it, and takes no less than 21.
  dynamic "ephemeral_storage" {
    for_each = each.value.disk_gib == 0 ? [] : [each.value.disk_gib]
    content {
      size_in_gib = ephemeral_storage.value
    }
  }

  # Scratch space for segments that are cut or joined; everything else is read-only.
  volume {
    name = "state"
  }

  container_definitions = jsonencode([merge(local.container, {
    healthCheck = local.health_check
    environment = [
      for name, value in merge({ ROLES = join(",", each.value.roles) }, local.environment) :
      { name = name, value = value }
    ]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.worker[each.key].name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "video-worker"
      }
    }
  })])
}

# Replicas share one limit and every queue, so in either service the new ones may start before the old ones
# stop.
resource "aws_ecs_service" "segments" {
  name             = "${var.name}-segments"
  cluster          = var.cluster_arn
  task_definition  = aws_ecs_task_definition.worker["segments"].arn
  desired_count    = var.segments.count
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"

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

resource "aws_ecs_service" "media" {
  for_each         = local.media
  name             = "${var.name}-media"
  cluster          = var.cluster_arn
  task_definition  = aws_ecs_task_definition.worker["media"].arn
  desired_count    = each.value.min
  launch_type      = "FARGATE"
  platform_version = "LATEST"
  propagate_tags   = "SERVICE"

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

  # The number of tasks is scaling's.
  lifecycle {
    ignore_changes = [desired_count]
  }
}

# `aws ecs run-task` with a command of docs/ops/video-worker.md; what it prints is in the log. A shell in a
# running container is not to be had: their root file systems are read-only, which rules it out on ECS.
resource "aws_ecs_task_definition" "operator" {
  family                   = "${var.name}-operator"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = 256
  memory                   = 512
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.operator.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  volume {
    name = "state"
  }

  container_definitions = jsonencode([merge(local.container, {
    command     = ["--help"]
    environment = [for name, value in local.environment : { name = name, value = value }]
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        "awslogs-group"         = aws_cloudwatch_log_group.worker["operator"].name
        "awslogs-region"        = local.region
        "awslogs-stream-prefix" = "operator"
      }
    }
  })])
}
