variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "queues" {
  description = "The output `queues` of the module `data` or `existing`."
  type        = map(object({ name = string, url = string, arn = string }))
}

variable "dead_letters" {
  description = "The output `dead_letters` of the module `data` or `existing`."
  type        = map(object({ name = string, url = string, arn = string }))
}

variable "cluster_arn" {
  description = "The ECS cluster of the worker."
  type        = string
}

variable "services" {
  description = "The worker's output `services`."
  type        = map(string)
}

variable "pool" {
  description = "The worker's output `pool`: what its metrics have as Backend."
  type        = string
}

variable "endpoint_name" {
  description = "The SageMaker endpoint; null where there is none."
  type        = string
  default     = null
}

variable "metrics_namespace" {
  description = "The worker's metrics_namespace."
  type        = string
  default     = "StereoSpot/Conversion"
}

variable "emails" {
  description = "Addresses that are told of alarms; each has to confirm once."
  type        = list(string)
  default     = []
}

variable "extra_actions" {
  description = "ARNs of further actions of every alarm, such as the topic of a pager."
  type        = list(string)
  default     = []
}

variable "oldest_message_seconds" {
  description = <<-EOT
    How old the oldest message of a queue may be. Segments wait for permits for as long as films are many;
    what is cut or joined counts while it is worked on.
  EOT
  type = object({
    chunking      = optional(number, 7200)
    video-worker  = optional(number, 43200)
    output-events = optional(number, 1800)
    reassembly    = optional(number, 7200)
  })
  default = {}
}

variable "stalled_minutes" {
  description = "How long nothing may be completed while permits are held: an instance's start and the longest segment."
  type        = number
  default     = 90
  validation {
    condition     = var.stalled_minutes >= 15 && var.stalled_minutes <= 1440 && var.stalled_minutes % 5 == 0
    error_message = "15 to 1440, in steps of 5."
  }
}

variable "failed_segments" {
  description = "Segments that may be given up in a quarter of an hour without an alarm."
  type        = number
  default     = 0
}

variable "restarts" {
  description = "Tasks that may end by themselves in a quarter of an hour without an alarm."
  type        = number
  default     = 2
}

variable "model_seconds" {
  description = "How long one segment may take on the endpoint without an alarm; its limit is 3600."
  type        = number
  default     = 3000
}

variable "log_days" {
  description = "For how long the reasons of stopped tasks are kept."
  type        = number
  default     = 365
}
