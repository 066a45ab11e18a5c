variable "endpoint" {
  description = "Where moto listens."
  type        = string
  default     = "http://127.0.0.1:5000"

  validation {
    condition     = can(regex("^http://(127\\.0\\.0\\.1|localhost|\\[::1\\]):[0-9]+$", var.endpoint))
    error_message = "This example is for a server on this machine, as http://127.0.0.1:5000."
  }
}

variable "region" {
  description = "Any region."
  type        = string
  default     = "eu-west-1"
}

variable "bucket" {
  description = "The name of the bucket."
  type        = string
  default     = "lake"
}

variable "prefix" {
  description = "The `prefix` of the I/O manager."
  type        = string
  default     = "dev"
}
