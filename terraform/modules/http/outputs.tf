output "urls" {
  description = "Base addresses of the servers: the worker's inference_http_urls."
  value       = length(var.elsewhere) > 0 ? var.elsewhere : [for box in aws_instance.box : "http://${box.private_ip}:8080"]
}

output "allow_plain" {
  description = "Whether they are asked without TLS, inside the network: the worker's inference_http_allow_plain."
  value       = length(var.elsewhere) == 0
}

output "max_in_flight" {
  description = "The most that runs at once: the worker's inference_max_in_flight."
  value       = length(var.elsewhere) > 0 ? var.max_in_flight : var.boxes
}

output "client_token" {
  description = "The secret of the one bearer token that a client sends: the worker's inference_http_token."
  value       = { arn = aws_secretsmanager_secret.this["client-token"].arn }
}

output "server_tokens_secret_arn" {
  description = "The secret of the bearer tokens that the servers take, separated by commas."
  value       = aws_secretsmanager_secret.this["server-tokens"].arn
}

output "hf_token_secret_arn" {
  description = "The secret of the hub's token; null without hub_token."
  value       = var.hub_token ? aws_secretsmanager_secret.this["hf-token"].arn : null
}

output "log_group" {
  description = "Log group of the boxes."
  value       = aws_cloudwatch_log_group.this.name
}

output "elsewhere_user" {
  description = "The user whose keys servers elsewhere have; empty where there are none."
  value       = one(aws_iam_user.elsewhere[*].name)
}
