output "name" {
  description = "Name of the endpoint: the worker's sagemaker_endpoint_name."
  value       = aws_sagemaker_endpoint.this.name
}

output "max_in_flight" {
  description = "The most that runs at once: the worker's inference_max_in_flight."
  value       = aws_appautoscaling_target.this.max_capacity
}

output "outcome_topic_arns" {
  description = "Topics of outcomes: the module `data` subscribes its queue to them."
  value       = { for kind, topic in aws_sns_topic.outcomes : kind => topic.arn }
}

output "hf_token_secret_arn" {
  description = "The secret whose value has to be put there by hand."
  value       = aws_secretsmanager_secret.hf_token.arn
}

output "role_arn" {
  description = "The role of the containers."
  value       = aws_iam_role.this.arn
}

output "log_group" {
  description = "Log group of the containers."
  value       = aws_cloudwatch_log_group.this.name
}
