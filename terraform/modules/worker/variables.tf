variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "cluster_arn" {
  description = "The ECS cluster that runs the daemon. It needs container insights: scaling counts its tasks."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets of the daemon, with a way to the services' endpoints."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Security groups of the daemon: outgoing HTTPS, and 8080 to the boxes of the module `http` where those are its servers; nothing incoming."
  type        = list(string)
}

variable "image" {
  description = "The daemon's image, by digest."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by digest: repository@sha256:..."
  }
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64; the image must be for it. ARM64 is the cheaper one."
  type        = string
  default     = "X86_64"
  validation {
    condition     = contains(["X86_64", "ARM64"], var.cpu_architecture)
    error_message = "One of X86_64, ARM64."
  }
}

variable "buckets" {
  description = "The output `buckets` of the module `data` or `existing`."
  type        = map(object({ name = string, arn = string }))
}

variable "queues" {
  description = "The output `queues` of the module `data` or `existing`. `chunking` may be missing where another program cuts."
  type        = map(object({ name = string, url = string, arn = string }))
}

variable "dead_letters" {
  description = "The output `dead_letters` of the module `data` or `existing`."
  type        = map(object({ name = string, url = string, arn = string }))
}

variable "tables" {
  description = "The output `tables` of the module `data` or `existing`."
  type        = map(object({ name = string, arn = string }))
}

variable "segments" {
  description = <<-EOT
    The service that drives segments. Its work waits for permits rather than for processors, two replicas are
    for deployments and failures, and more of them convert nothing faster.
  EOT
  type = object({
    roles      = optional(list(string), ["segments", "output-events", "reconcile"])
    count      = optional(number, 2)
    cpu        = optional(number, 256)
    memory_mib = optional(number, 512)
  })
  default = {}
}

variable "media" {
  description = <<-EOT
    The service that cuts sources and joins results; null where another program does. A source and its
    segments, or all results and the final film, are on its disk at once: twice the largest source.
  EOT
  type = object({
    roles         = optional(list(string), ["chunking", "reassembly"])
    min           = optional(number, 1)
    max           = optional(number, 4)
    jobs_per_task = optional(number, 2)
    cpu           = optional(number, 2048)
    memory_mib    = optional(number, 4096)
    disk_gib      = optional(number, 100)
  })
  default = {}
  validation {
    condition     = var.media == null ? true : var.media.disk_gib >= 21 && var.media.disk_gib <= 200
    error_message = "disk_gib: Fargate has 21 to 200."
  }
  validation {
    condition     = var.media == null ? true : var.media.min >= 1 && var.media.max >= var.media.min
    error_message = "min is 1 or more, since scaling counts the tasks that there are; max is not less."
  }
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
  description = "Attempts in flight over all replicas: the most instances that the endpoint scales to, or the number of servers."
  type        = number
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

variable "sagemaker_region" {
  description = "The endpoint's region; empty for that of everything else."
  type        = string
  default     = ""
}

variable "sagemaker_request" {
  description = "How the endpoint is given its requests: as an object, or inline in the call."
  type        = string
  default     = "object"
  validation {
    condition     = contains(["object", "inline"], var.sagemaker_request)
    error_message = "One of object, inline."
  }
}

variable "sagemaker_invoke_timeout_seconds" {
  description = "The longest run of one attempt. A segment of diffusion takes longer than the daemon's own default of 1200."
  type        = number
  default     = 3600
  validation {
    condition     = var.sagemaker_invoke_timeout_seconds >= 1 && var.sagemaker_invoke_timeout_seconds <= 3600
    error_message = "1 to 3600."
  }
}

variable "inference_http_urls" {
  description = "Inference servers of the backend http; empty otherwise."
  type        = list(string)
  default     = []
}

variable "inference_http_token" {
  description = "Secret with the bearer token of the inference servers; null for none. (What is null is known at plan; the ARN of a secret that the same apply makes is not.)"
  type        = object({ arn = string })
  default     = null
}

variable "inference_http_allow_plain" {
  description = "Whether servers may be asked without TLS: only inside a private network."
  type        = bool
  default     = false
}

variable "inference_http_answer_seconds" {
  description = "How long a server may take for one segment."
  type        = number
  default     = 3600
  validation {
    condition     = var.inference_http_answer_seconds >= 1 && var.inference_http_answer_seconds <= 3600
    error_message = "1 to 3600."
  }
}

variable "retry_after_limit_seconds" {
  description = "The longest that a segment waits because a backend asked for it."
  type        = number
  default     = 300
  validation {
    condition     = var.retry_after_limit_seconds >= 1 && var.retry_after_limit_seconds <= 3600
    error_message = "1 to 3600."
  }
}

variable "completion_owner" {
  description = "video-worker, or job-worker where a deployed one records completions and asks for reassembly."
  type        = string
  default     = "video-worker"
  validation {
    condition     = contains(["video-worker", "job-worker"], var.completion_owner)
    error_message = "One of video-worker, job-worker."
  }
}

variable "damaged" {
  description = "What cutting does where a source is damaged: repair it, or refuse it."
  type        = string
  default     = "repair"
  validation {
    condition     = contains(["repair", "refuse"], var.damaged)
    error_message = "One of repair, refuse."
  }
}

variable "lease_seconds" {
  description = "After how long the work of a replica that died is taken over."
  type        = number
  default     = 120
  validation {
    condition     = var.lease_seconds >= 3 && var.lease_seconds <= 43200
    error_message = "3 to 43200."
  }
}

variable "drain_seconds" {
  description = "How long running work may finish after SIGTERM. Matters to the backend http, to cutting and to joining."
  type        = number
  default     = 100
  validation {
    condition     = var.drain_seconds >= 0 && var.drain_seconds <= 100
    error_message = "0 to 100: Fargate kills a task 120 s after SIGTERM."
  }
}

variable "sqs_long_poll_wait_seconds" {
  description = "How long one receive waits for messages."
  type        = number
  default     = 20
  validation {
    condition     = var.sqs_long_poll_wait_seconds >= 0 && var.sqs_long_poll_wait_seconds <= 20
    error_message = "0 to 20."
  }
}

variable "metrics_namespace" {
  description = "Namespace of the daemon's metrics in CloudWatch."
  type        = string
  default     = "StereoSpot/Conversion"
}

variable "log_filter" {
  description = "What is logged, in the syntax of tracing's EnvFilter."
  type        = string
  default     = "info"
}

variable "log_format" {
  description = "Shape of the log: json or text."
  type        = string
  default     = "json"
  validation {
    condition     = contains(["json", "text"], var.log_format)
    error_message = "One of json, text."
  }
}

variable "log_days" {
  description = "For how long the log is kept."
  type        = number
  default     = 365
}

variable "extra_environment" {
  description = "Further variables of docs/ops/video-worker.md, by name; they win over those above."
  type        = map(string)
  default     = {}
}

variable "operator_principal_arns" {
  description = "Roles or users that may take the operator's role themselves, besides tasks that run its commands."
  type        = list(string)
  default     = []
}
