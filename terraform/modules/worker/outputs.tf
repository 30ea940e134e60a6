output "services" {
  description = "Names of the ECS services, by what they do."
  value = merge(
    { segments = aws_ecs_service.segments.name },
    { for key, service in aws_ecs_service.media : key => service.name },
  )
}

output "log_groups" {
  description = "Log groups of the services, and of `operator`."
  value       = { for key, group in aws_cloudwatch_log_group.worker : key => group.name }
}

output "operator_task_definition" {
  description = "Task definition for `aws ecs run-task` with an operator's command."
  value       = aws_ecs_task_definition.operator.family
}

output "operator_role_arn" {
  description = "The role of operators' commands."
  value       = aws_iam_role.operator.arn
}

output "task_role_arns" {
  description = "The services' own roles."
  value       = { for key, role in aws_iam_role.worker : key => role.arn }
}

output "pool" {
  description = "What the daemon's metrics have as their dimension Backend."
  value       = var.inference_backend == "sagemaker" ? var.sagemaker_endpoint_name : var.inference_backend
}

output "environment" {
  description = "What the daemon is told, for commands that run elsewhere. No secrets."
  value       = local.environment
}
