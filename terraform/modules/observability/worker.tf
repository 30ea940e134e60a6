# Alarms of the daemon, from what it reports each minute.

resource "aws_cloudwatch_metric_alarm" "not_ready" {
  alarm_name          = "${var.name}-not-ready"
  alarm_description   = "No replica takes work, or none reports. docs/ops/alarms.md#not-ready"
  namespace           = var.metrics_namespace
  metric_name         = "Ready"
  dimensions          = { Backend = var.pool }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

# A replica among others, or of a service among others.
resource "aws_cloudwatch_metric_alarm" "replica_not_ready" {
  alarm_name          = "${var.name}-replica-not-ready"
  alarm_description   = "Some replica takes no work. docs/ops/alarms.md#replica-not-ready"
  namespace           = var.metrics_namespace
  metric_name         = "Ready"
  dimensions          = { Backend = var.pool }
  statistic           = "Minimum"
  period              = 60
  evaluation_periods  = 15
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

# Only replicas with the role reconcile count permits, so that their silence is told whoever else is ready.
resource "aws_cloudwatch_metric_alarm" "nobody_reconciles" {
  alarm_name          = "${var.name}-nobody-reconciles"
  alarm_description   = "No replica with the role reconcile reports. docs/ops/alarms.md#nobody-reconciles"
  namespace           = var.metrics_namespace
  metric_name         = "PermitsHeld"
  dimensions          = { Backend = var.pool }
  statistic           = "SampleCount"
  period              = 60
  evaluation_periods  = 10
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

resource "aws_cloudwatch_metric_alarm" "permit_overdue" {
  alarm_name          = "${var.name}-permit-overdue"
  alarm_description   = "A permit is held long past its deadline. docs/ops/alarms.md#permit-overdue"
  namespace           = var.metrics_namespace
  metric_name         = "PermitOverdueSeconds"
  dimensions          = { Backend = var.pool }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "GreaterThanThreshold"
  threshold           = 600
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

resource "aws_cloudwatch_metric_alarm" "invariant_violations" {
  alarm_name          = "${var.name}-invariant-violations"
  alarm_description   = "A rule of the ledger was found broken. docs/ops/alarms.md#invariant-violations"
  namespace           = var.metrics_namespace
  metric_name         = "InvariantViolations"
  dimensions          = { Backend = var.pool }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
}

resource "aws_cloudwatch_metric_alarm" "segments_failed" {
  alarm_name          = "${var.name}-segments-failed"
  alarm_description   = "Segments were given up, and their jobs with them. docs/ops/alarms.md#segments-failed"
  namespace           = var.metrics_namespace
  metric_name         = "SegmentsFailed"
  dimensions          = { Backend = var.pool }
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.failed_segments
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
}

resource "aws_cloudwatch_metric_alarm" "no_completion" {
  alarm_name          = "${var.name}-no-completion"
  alarm_description   = "Permits are held, and nothing has been completed for ${var.stalled_minutes} minutes. docs/ops/alarms.md#no-completion"
  evaluation_periods  = var.stalled_minutes / 5
  datapoints_to_alarm = var.stalled_minutes / 5
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions

  metric_query {
    id          = "stalled"
    label       = "Permits are held and nothing is completed"
    expression  = "IF(held > 0 AND FILL(completed, 0) == 0, 1, 0)"
    return_data = true
  }
  metric_query {
    id = "held"
    metric {
      namespace   = var.metrics_namespace
      metric_name = "PermitsHeld"
      dimensions  = { Backend = var.pool }
      stat        = "Maximum"
      period      = 300
    }
  }
  metric_query {
    id = "completed"
    metric {
      namespace   = var.metrics_namespace
      metric_name = "SegmentsCompleted"
      dimensions  = { Backend = var.pool }
      stat        = "Sum"
      period      = 300
    }
  }
}

# Tasks that ended by themselves. ECS starts others and says nothing.
resource "aws_cloudwatch_event_rule" "restarts" {
  name        = "${var.name}-restarts"
  description = "Tasks of the worker whose program ended."
  event_pattern = jsonencode({
    source      = ["aws.ecs"]
    detail-type = ["ECS Task State Change"]
    detail = {
      clusterArn = [var.cluster_arn]
      group      = [for service in var.services : "service:${service}"]
      lastStatus = ["STOPPED"]
      stopCode   = ["EssentialContainerExited", "TaskFailedToStart"]
    }
  })
}

resource "aws_cloudwatch_log_group" "restarts" {
  name              = "/aws/events/${var.name}-restarts"
  retention_in_days = var.log_days
}

data "aws_iam_policy_document" "restarts" {
  statement {
    sid       = "WriteEvents"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.restarts.arn}:*"]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com", "delivery.logs.amazonaws.com"]
    }
  }
}

resource "aws_cloudwatch_log_resource_policy" "restarts" {
  policy_name     = "${var.name}-restarts"
  policy_document = data.aws_iam_policy_document.restarts.json
}

resource "aws_cloudwatch_event_target" "restarts" {
  rule = aws_cloudwatch_event_rule.restarts.name
  arn  = aws_cloudwatch_log_group.restarts.arn
}

resource "aws_cloudwatch_metric_alarm" "restarts" {
  alarm_name          = "${var.name}-restarts"
  alarm_description   = "Tasks of the worker end by themselves. docs/ops/alarms.md#restarts"
  namespace           = "AWS/Events"
  metric_name         = "TriggeredRules"
  dimensions          = { RuleName = aws_cloudwatch_event_rule.restarts.name }
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.restarts
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
}
