# One page in CloudWatch: is work taken, how far is it, what waits, what went wrong.

locals {
  own = var.metrics_namespace

  rows = concat(
    [
      {
        title = "Segments, completed and given up"
        stat  = "Sum"
        metrics = [
          [local.own, "SegmentsCompleted", "Backend", var.pool],
          [local.own, "SegmentsFailed", "Backend", var.pool],
        ]
      },
      {
        title   = "Permits held"
        stat    = "Maximum"
        metrics = [[local.own, "PermitsHeld", "Backend", var.pool]]
      },
      {
        title   = "Replicas ready (lowest and highest)"
        stat    = "Minimum"
        metrics = [[local.own, "Ready", "Backend", var.pool], [local.own, "Ready", "Backend", var.pool, { stat = "Maximum" }]]
      },
      {
        title = "Overdue permits in seconds, broken rules"
        stat  = "Maximum"
        metrics = [
          [local.own, "PermitOverdueSeconds", "Backend", var.pool],
          [local.own, "InvariantViolations", "Backend", var.pool, { stat = "Sum" }],
        ]
      },
      {
        title   = "Messages that wait"
        stat    = "Maximum"
        metrics = [for queue in var.queues : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]]
      },
      {
        title   = "Age of the oldest message in seconds"
        stat    = "Maximum"
        metrics = [for queue in var.queues : ["AWS/SQS", "ApproximateAgeOfOldestMessage", "QueueName", queue.name]]
      },
      {
        title   = "Dead letters"
        stat    = "Maximum"
        metrics = [for queue in var.dead_letters : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]]
      },
      {
        title = "Running tasks"
        stat  = "Average"
        metrics = [
          for service in var.services :
          ["ECS/ContainerInsights", "RunningTaskCount", "ClusterName", local.cluster, "ServiceName", service]
        ]
      },
      {
        title = "Seconds for a segment"
        stat  = "p90"
        metrics = [
          for size in ["0-5", "5-20", "20-50", "50+"] :
          [local.own, "SegmentConversionDurationSeconds", "Cloud", "aws", "SegmentSizeBucket", size]
        ]
      },
    ],
    flatten([
      for endpoint in local.endpoints : [
        {
          title = "Endpoint: what waits or runs"
          stat  = "Maximum"
          metrics = [
            ["AWS/SageMaker", "ApproximateBacklogSize", "EndpointName", endpoint],
            ["AWS/SageMaker", "ApproximateBacklogSizePerInstance", "EndpointName", endpoint],
          ]
        },
        {
          title = "Endpoint: errors"
          stat  = "Sum"
          metrics = [
            ["AWS/SageMaker", "Invocation4XXErrors", "EndpointName", endpoint, "VariantName", "AllTraffic"],
            ["AWS/SageMaker", "Invocation5XXErrors", "EndpointName", endpoint, "VariantName", "AllTraffic"],
          ]
        },
        {
          title   = "Endpoint: microseconds for a segment"
          stat    = "p90"
          metrics = [["AWS/SageMaker", "ModelLatency", "EndpointName", endpoint, "VariantName", "AllTraffic"]]
        },
      ]
    ]),
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      for index, row in local.rows : {
        type   = "metric"
        x      = (index % 3) * 8
        y      = floor(index / 3) * 6
        width  = 8
        height = 6
        properties = {
          title   = row.title
          region  = data.aws_region.current.region
          view    = "timeSeries"
          period  = 60
          stat    = row.stat
          metrics = row.metrics
        }
      }
    ]
  })
}
