variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "account_id" {
  description = "The account that the buckets' events must come from."
  type        = string
}

variable "region" {
  description = "The region of everything."
  type        = string
}

variable "cluster_arn" {
  description = "The ECS cluster that runs the daemon."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the daemon, with a way to the services' endpoints."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the daemon. It needs outgoing HTTPS and nothing incoming."
  type        = list(string)
}

variable "worker_image" {
  description = "The daemon's image, by digest."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.worker_image))
    error_message = "Name the image by digest: repository@sha256:..."
  }
}

variable "worker_count" {
  description = "Replicas; they share one limit of attempts in flight."
  type        = number
  default     = 2
}

variable "worker_cpu" {
  description = "CPU units of a task."
  type        = number
  default     = 256
}

variable "worker_memory_mib" {
  description = "Memory of a task in MiB."
  type        = number
  default     = 512
}

variable "inference_backend" {
  description = "What turns segments into results."
  type        = string
  default     = "sagemaker"
  validation {
    condition     = contains(["stub", "http", "sagemaker"], var.inference_backend)
    error_message = "One of stub, http, sagemaker."
  }
}

variable "inference_max_in_flight" {
  description = "Attempts in flight over all replicas: the most instances that the endpoint scales to."
  type        = number
  default     = 5
  validation {
    condition     = var.inference_max_in_flight >= 1 && var.inference_max_in_flight <= 20
    error_message = "1 to 20."
  }
}

variable "sagemaker_endpoint_name" {
  description = "The asynchronous endpoint of the backend sagemaker; empty otherwise."
  type        = string
  default     = ""
}

variable "inference_http_url" {
  description = "Inference servers of the backend http, separated by commas; empty otherwise."
  type        = string
  default     = ""
}

variable "inference_http_token_arn" {
  description = "Secret with the bearer token of the inference servers; empty for none."
  type        = string
  default     = ""
}

variable "drain_seconds" {
  description = "How long running attempts may finish after SIGTERM. Matters to the backend http."
  type        = number
  default     = 100
  validation {
    condition     = var.drain_seconds >= 0 && var.drain_seconds <= 105
    error_message = "0 to 105: Fargate kills a task 120 s after SIGTERM."
  }
}
