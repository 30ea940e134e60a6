variable "name" {
  description = "Prefix of every resource's name."
  type        = string
}

variable "account_id" {
  description = "The account that the buckets' events must come from."
  type        = string
}
