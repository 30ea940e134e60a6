variable "name" {
  description = "Name of the endpoint, and prefix of everything else's."
  type        = string
  validation {
    condition     = can(regex("^[a-zA-Z0-9](-*[a-zA-Z0-9]){1,35}$", var.name))
    error_message = "2 to 36 of a-z, A-Z, 0-9 and '-': names of configurations are longer by 27, and end at 63."
  }
}

variable "image" {
  description = "The server's image of the target `sagemaker` in ECR, by digest."
  type        = string
  validation {
    condition     = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.[a-z0-9-]+\\.amazonaws\\.com(\\.cn)?/[a-z0-9/._-]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "An image in ECR, by digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME@sha256:..."
  }
}

variable "buckets" {
  description = "The output `buckets` of the module `data` or `existing`."
  type        = map(object({ name = string, arn = string }))
}

variable "instance_type" {
  description = "GPU instances of the endpoint; docs/ops/gpus.md has what runs on which."
  type        = string
  default     = "ml.g5.2xlarge"
}

variable "inference_ami_version" {
  description = <<-EOT
    The machine image below the container, which has the driver. Images of CUDA 13 need the driver 580 of
    al2023-ami-sagemaker-inference-gpu-4-1, those of CUDA 12 the 550 of al2-ami-sagemaker-inference-gpu-3-1;
    what SageMaker takes by itself has 470 or 535 and runs neither.
  EOT
  type        = string
  default     = "al2023-ami-sagemaker-inference-gpu-4-1"
}

variable "min_instances" {
  description = "Instances that are there without work. 0 costs nothing and lets the first segment wait for a start."
  type        = number
  default     = 0
}

variable "max_instances" {
  description = "The most instances. Each runs one segment at a time, so this is the worker's limit in flight too."
  type        = number
  default     = 2
  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 20
    error_message = "1 to 20: the worker's limit has the same bounds."
  }
}

variable "scale_in_cooldown_seconds" {
  description = "How long instances are kept after the last change, in case more work comes."
  type        = number
  default     = 900
}

variable "startup_timeout_seconds" {
  description = "How long a container may take until it answers /ping with 200: weights are downloaded meanwhile."
  type        = number
  default     = 1800
  validation {
    condition     = var.startup_timeout_seconds >= 60 && var.startup_timeout_seconds <= 3600
    error_message = "60 to 3600."
  }
}

variable "volume_gib" {
  description = <<-EOT
    Storage of an instance that has none of its own, for weights, inputs and results; null for instances with
    local disks (g4dn, g5, g6, p4d, p5), which take no other.
  EOT
  type        = number
  default     = null
}

variable "weights_s3_uri" {
  description = "Folder in a bucket that holds a folder `weights`, mounted at /opt/ml/model; null downloads from the hub."
  type        = string
  default     = null
  validation {
    condition     = var.weights_s3_uri == null ? true : can(regex("^s3://[^/]+/.+/$", var.weights_s3_uri))
    error_message = "s3://BUCKET/PREFIX/, with the slash at its end."
  }
}

variable "subnet_ids" {
  description = "Private subnets for the containers; none for SageMaker's own network, from which the hub is reached."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Their security groups."
  type        = list(string)
  default     = []
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

variable "steps" {
  description = "Denoising steps of stereocrafter."
  type        = number
  default     = 8
}

variable "memory_plan_gib" {
  description = "GiB that the work of stereocrafter is cut for; pixels depend on it, so change it between films only. 16 on GPUs of 16 GB."
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

variable "run_limit_seconds" {
  description = "The longest run of one request; the worker's sagemaker_invoke_timeout_seconds is not longer."
  type        = number
  default     = 3600
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
