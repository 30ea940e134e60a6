output "services" {
  description = "Names of the worker's services."
  value       = module.worker.services
}

output "network" {
  description = "The network of operators' tasks, as `aws ecs run-task --network-configuration` takes it."
  value       = "awsvpcConfiguration={subnets=[${join(",", var.subnet_ids)}],securityGroups=[${join(",", var.security_group_ids)}]}"
}

output "operator_task_definition" {
  description = "The task of operators' commands."
  value       = module.worker.operator_task_definition
}

output "operator_role_arn" {
  description = "The operator's role."
  value       = module.worker.operator_role_arn
}

output "operator_environment" {
  description = "What video-worker is told, for commands from elsewhere."
  value       = module.worker.environment
}

output "log_groups" {
  description = "Logs of the worker."
  value       = module.worker.log_groups
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = module.observability.dashboard
}
