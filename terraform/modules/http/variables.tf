variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "buckets" {
  description = "The output `buckets` of the module `data` or `existing`."
  type        = map(object({ name = string, arn = string }))
}

variable "elsewhere" {
  description = <<-EOT
    Base addresses of servers that run somewhere else, such as a load-balancing endpoint of RunPod; with some,
    no box is made here. They reach the buckets with credentials of their own: the user whose name is an output.
  EOT
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for url in var.elsewhere : startswith(url, "https://")])
    error_message = "https only: the token goes over it."
  }
}

variable "max_in_flight" {
  description = "Segments in flight at servers elsewhere: how many of their GPUs there are at most."
  type        = number
  default     = 1
}

variable "boxes" {
  description = "GPU machines of this account, when the servers are not elsewhere. Each runs one segment at a time."
  type        = number
  default     = 1
  validation {
    condition     = var.boxes >= 1 && var.boxes <= 20
    error_message = "1 to 20: the worker's limit in flight has the same bounds."
  }
}

variable "image" {
  description = "The server's image of the target `plain` in ECR, by digest; not needed where the servers are elsewhere."
  type        = string
  default     = ""
  validation {
    condition     = var.image == "" || can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9/._-]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "An image in ECR, by digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:..."
  }
  validation {
    condition     = var.image != "" || length(var.elsewhere) > 0
    error_message = "Boxes need an image."
  }
}

variable "instance_type" {
  description = "Type of the boxes; docs/ops/gpus.md has what runs on which."
  type        = string
  default     = "g5.2xlarge"
}

variable "ami_parameter" {
  description = "Public parameter with the boxes' machine image: one with docker, the container toolkit and a driver that the image's CUDA needs."
  type        = string
  default     = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-amazon-linux-2023/latest/ami-id"
}

variable "subnet_ids" {
  description = "Private subnets of the boxes, with a way to the services' endpoints and, without weights of their own, to the hub."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Security groups of the boxes: incoming 8080 from the worker alone, outgoing HTTPS."
  type        = list(string)
  default     = []
}

variable "volume_gib" {
  description = "Disk of a box: image, weights, inputs and results."
  type        = number
  default     = 200
}

variable "hub_token" {
  description = "Whether the engine's models are gated: the secret has to have a value before the first start then."
  type        = bool
  default     = true
}

variable "engine" {
  description = "The stereo engine: stereocrafter, depth-anything, video-depth-anything, draft or copy."
  type        = string
  default     = "stereocrafter"
}

variable "device" {
  description = "Where the engine computes, cuda or cpu; null for the GPU that the machines have, but for draft and copy, which use none."
  type        = string
  default     = null
  validation {
    condition     = var.device == null ? true : contains(["cpu", "cuda"], var.device)
    error_message = "One of cpu, cuda."
  }
}

variable "memory_plan_gib" {
  description = "GiB that the work of stereocrafter is cut for; pixels depend on it."
  type        = number
  default     = 24
}

variable "side_by_side" {
  description = "What mode `sbs` means: full or half."
  type        = string
  default     = "full"
}

variable "damaged" {
  description = "What is done where a segment is damaged: repair or refuse."
  type        = string
  default     = "repair"
}

variable "metrics_namespace" {
  description = "Namespace of the server's metrics in CloudWatch."
  type        = string
  default     = "StereoSpot/Conversion"
}

variable "log_filter" {
  description = "What is logged, in the syntax of tracing's EnvFilter."
  type        = string
  default     = "info"
}

variable "log_days" {
  description = "For how long the log is kept."
  type        = number
  default     = 365
}

variable "extra_environment" {
  description = "Further variables of docs/ops/inference-server.md, by name; they win over those above."
  type        = map(string)
  default     = {}
}
