output "services" {
  description = "Names of the worker's services."
  value       = module.worker.services
}

output "operator_task_definition" {
  description = "The task of operators' commands."
  value       = module.worker.operator_task_definition
}

output "log_groups" {
  description = "Logs of the worker."
  value       = module.worker.log_groups
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = module.observability.dashboard
}
