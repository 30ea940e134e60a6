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

output "token_arn" {
  description = "The secret of the bearer token: the worker's inference_http_token_arn."
  value       = aws_secretsmanager_secret.this["server-token"].arn
}

output "hf_token_secret_arn" {
  description = "The secret of the hub's token."
  value       = aws_secretsmanager_secret.this["hf-token"].arn
}

output "elsewhere_user" {
  description = "The user whose keys servers elsewhere have; empty where there are none."
  value       = one(aws_iam_user.elsewhere[*].name)
}
