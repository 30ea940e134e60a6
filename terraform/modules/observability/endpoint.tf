# Alarms of the SageMaker endpoint, where there is one.

locals {
  endpoints = toset(var.endpoint_name == null ? [] : [var.endpoint_name])
}

resource "aws_cloudwatch_metric_alarm" "endpoint_errors" {
  for_each            = local.endpoints
  alarm_name          = "${var.name}-endpoint-errors"
  alarm_description   = "The inference server answers with errors. docs/ops/alarms.md#endpoint-errors"
  namespace           = "AWS/SageMaker"
  metric_name         = "Invocation5XXErrors"
  dimensions          = { EndpointName = each.value, VariantName = "AllTraffic" }
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
}

resource "aws_cloudwatch_metric_alarm" "endpoint_latency" {
  for_each            = local.endpoints
  alarm_name          = "${var.name}-endpoint-latency"
  alarm_description   = "A segment takes nearly as long as it may. docs/ops/alarms.md#endpoint-latency"
  namespace           = "AWS/SageMaker"
  metric_name         = "ModelLatency"
  dimensions          = { EndpointName = each.value, VariantName = "AllTraffic" }
  statistic           = "Maximum"
  period              = 900
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.model_seconds * 1000000 # microseconds
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
}

# The worker lets the endpoint keep a request for 1800 s; then it expires there and is asked again.
resource "aws_cloudwatch_metric_alarm" "endpoint_queue" {
  for_each            = local.endpoints
  alarm_name          = "${var.name}-endpoint-queue"
  alarm_description   = "A request waits in the endpoint: instances do not come. docs/ops/alarms.md#endpoint-queue"
  namespace           = "AWS/SageMaker"
  metric_name         = "ApproximateAgeOfOldestRequest"
  dimensions          = { EndpointName = each.value }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1500
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}
