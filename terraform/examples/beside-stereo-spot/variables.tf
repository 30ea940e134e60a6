variable "name" {
  description = "Prefix of what is made here; not that of the deployment beside it."
  type        = string
  default     = "parallax"
}

variable "region" {
  description = "The region of everything."
  type        = string
}

variable "buckets" {
  description = "Names of the deployment's buckets."
  type        = object({ input = string, output = string })
}

variable "queues" {
  description = "Names of its queues. Its own media-worker takes those of chunking and reassembly."
  type        = object({ video-worker = string, output-events = string, reassembly = string })
}

variable "dead_letters" {
  description = "Names of its dead-letter queues, by the same keys."
  type        = object({ video-worker = string, output-events = string, reassembly = string })
}

variable "tables" {
  description = "Names of its tables."
  type = object({
    jobs                  = string
    segment-completions   = string
    reassembly-triggered  = string
    inference-invocations = string
  })
}

variable "cluster_arn" {
  description = "Its ECS cluster."
  type        = string
}

variable "subnet_ids" {
  description = "Its private subnets."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups for the worker: outgoing HTTPS."
  type        = list(string)
}

variable "worker_image" {
  description = "The worker's image, by digest."
  type        = string
}

variable "endpoint_name" {
  description = "The asynchronous endpoint that is there."
  type        = string
}

variable "endpoint_max_instances" {
  description = "How many instances it scales to: the most segments in flight."
  type        = number
}

variable "emails" {
  description = "Addresses that are told of alarms."
  type        = list(string)
  default     = []
}

variable "operator_principal_arns" {
  description = "Roles or users that may take the operator's role."
  type        = list(string)
  default     = []
}

variable "replicas" {
  description = "Tasks of the worker: 0 for the first look, 1 to begin with, then 2, of which one may fail."
  type        = number
  default     = 1
}
