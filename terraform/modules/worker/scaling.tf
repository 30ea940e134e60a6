# Media tasks follow what waits or is worked on per task. What is worked on counts, so that a task in the
# middle of a film is not the first to go.

locals {
  media = var.media == null ? {} : { media = var.media }

  # The queues that the media service takes work from.
  media_queues = { for role in ["chunking", "reassembly"] : role => var.queues[role].name if contains(keys(var.queues), role) }
  backlog_parts = merge([
    for role, queue in local.media_queues : {
      "${role}_waits" = { queue = queue, metric = "ApproximateNumberOfMessagesVisible" }
      "${role}_runs"  = { queue = queue, metric = "ApproximateNumberOfMessagesNotVisible" }
    }
  ]...)
}

resource "aws_appautoscaling_target" "media" {
  for_each           = local.media
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${element(split("/", var.cluster_arn), 1)}/${aws_ecs_service.media["media"].name}"
  min_capacity       = each.value.min
  max_capacity       = each.value.max
}

resource "aws_appautoscaling_policy" "media" {
  for_each           = local.media
  name               = "${var.name}-media-backlog-per-task"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.media["media"].service_namespace
  scalable_dimension = aws_appautoscaling_target.media["media"].scalable_dimension
  resource_id        = aws_appautoscaling_target.media["media"].resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = each.value.jobs_per_task
    scale_out_cooldown = 60
    scale_in_cooldown  = 900

    customized_metric_specification {
      dynamic "metrics" {
        for_each = local.backlog_parts
        content {
          id          = metrics.key
          return_data = false
          metric_stat {
            stat = "Maximum"
            metric {
              namespace   = "AWS/SQS"
              metric_name = metrics.value.metric
              dimensions {
                name  = "QueueName"
                value = metrics.value.queue
              }
            }
          }
        }
      }
      metrics {
        id          = "tasks"
        return_data = false
        metric_stat {
          stat = "Average"
          metric {
            namespace   = "ECS/ContainerInsights"
            metric_name = "RunningTaskCount"
            dimensions {
              name  = "ClusterName"
              value = element(split("/", var.cluster_arn), 1)
            }
            dimensions {
              name  = "ServiceName"
              value = aws_ecs_service.media["media"].name
            }
          }
        }
      }
      metrics {
        id          = "backlog_per_task"
        label       = "Sources and films that wait or are worked on, per task"
        expression  = "(${join(" + ", keys(local.backlog_parts))}) / IF(tasks < 1, 1, tasks)"
        return_data = true
      }
    }
  }
}
