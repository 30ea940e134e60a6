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

output "secrets" {
  description = "Secrets whose values have to be put there by hand: docs/ops/aws.md."
  value = {
    server_tokens = module.http.server_tokens_secret_arn
    client_token  = module.http.client_token.arn
    hf_token      = module.http.hf_token_secret_arn
  }
}

output "log_groups" {
  description = "Logs of the worker, and of the server."
  value       = merge(module.worker.log_groups, { boxes = module.http.log_group })
}

output "alarms_topic_arn" {
  description = "The topic of all alarms."
  value       = module.observability.topic_arn
}

output "dashboard" {
  description = "Name of the dashboard."
  value       = module.observability.dashboard
}
