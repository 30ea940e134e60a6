variable "name" {
  description = "Prefix of every resource's name."
  type        = string
  default     = "parallax"
}

variable "region" {
  description = "The region of everything."
  type        = string
}

variable "worker_image_digest" {
  description = "Digest of the worker's image in its repository here: sha256:..."
  type        = string
}

variable "server_image_digest" {
  description = "Digest of the server's image, target `plain`, in its repository here: sha256:..."
  type        = string
}

variable "cpu_architecture" {
  description = "X86_64 or ARM64, as the worker's image was built."
  type        = string
  default     = "ARM64"
}

variable "instance_type" {
  description = "Type of the boxes."
  type        = string
  default     = "g5.2xlarge"
}

variable "boxes" {
  description = "How many there are, and so the most segments in flight. They run, and are paid for, whether there is work or not."
  type        = number
  default     = 1
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
