# Alarms of the queues.

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each            = var.dead_letters
  alarm_name          = "${var.name}-dead-letters-${each.key}"
  alarm_description   = "A message of ${each.key} could not be handled. docs/ops/alarms.md#dead-letters"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

resource "aws_cloudwatch_metric_alarm" "oldest_message" {
  for_each            = var.queues
  alarm_name          = "${var.name}-oldest-message-${each.key}"
  alarm_description   = "A message of ${each.key} waits for too long. docs/ops/alarms.md#oldest-message"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = each.value.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.oldest_message_seconds[each.key]
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}
