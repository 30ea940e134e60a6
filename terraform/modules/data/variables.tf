variable "name" {
  description = "Prefix of every resource's name."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 of a-z, 0-9 and '-': it becomes part of the buckets' names."
  }
}

variable "visibility_seconds" {
  description = <<-EOT
    For how long a message stays hidden from receivers that do not say so themselves, by queue. video-worker
    does; a media-worker of another make does not, and needs 900 for chunking and 3600 for reassembly.
  EOT
  type        = map(number)
  default     = {}
}

variable "expiry_days" {
  description = <<-EOT
    Days after which objects go, by what they are; null keeps them. Segments and what the endpoint was asked
    and answered are of no use once a job can no longer be redriven (14 days). Sources and results belong to
    people: nothing here deletes them unless it is said.
  EOT
  type = object({
    sources  = optional(number)
    segments = optional(number, 30)
    results  = optional(number)
    requests = optional(number, 30)
  })
  default = {}
  validation {
    condition = alltrue([
      for days in [var.expiry_days.segments, var.expiry_days.requests] : days == null ? true : days >= 15
    ])
    error_message = "Segments and requests: 15 days or more, so that dead letters can still be redriven."
  }
}

variable "outcome_topic_arns" {
  description = "The endpoint's topics of outcomes, which may send to the output-events queue."
  type        = map(string)
  default     = {}
}

variable "deletion_protection" {
  description = "Whether the tables refuse to be deleted. Buckets that hold something do in any case."
  type        = bool
  default     = true
}

variable "streams" {
  description = "Whether the jobs' and completions' tables have streams, as a web interface may want."
  type        = bool
  default     = false
}

variable "cors_origins" {
  description = "Origins whose pages may upload to the input bucket and play from the output bucket."
  type        = list(string)
  default     = []
}
