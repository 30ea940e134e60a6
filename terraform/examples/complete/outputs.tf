output "repositories" {
  description = "Where images are pushed to."
  value       = { for key, repository in aws_ecr_repository.this : key => repository.repository_url }
}

output "buckets" {
  description = "Names of the buckets."
  value       = { for key, bucket in module.data.buckets : key => bucket.name }
}

output "cluster" {
  description = "The cluster, for `aws ecs run-task`."
  value       = aws_ecs_cluster.this.name
}

output "network" {
  description = "The network of operators' tasks, as `aws ecs run-task --network-configuration` takes it."
  value       = "awsvpcConfiguration={subnets=[${join(",", aws_subnet.private[*].id)}],securityGroups=[${aws_security_group.worker.id}]}"
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

output "hf_token_secret_arn" {
  description = "The secret whose value has to be put there by hand."
  value       = module.endpoint.hf_token_secret_arn
}

output "endpoint" {
  description = "Name of the endpoint."
  value       = module.endpoint.name
}

output "log_groups" {
  description = "Logs of the worker, and of the server."
  value       = merge(module.worker.log_groups, { endpoint = module.endpoint.log_group })
}

output "alarms_topic_arn" {
  description = "The topic of all alarms."
  value       = module.observability.topic_arn
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = module.observability.dashboard
}
