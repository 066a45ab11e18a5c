variable "region" {
  description = "Where the bucket and the tasks are."
  type        = string
}

variable "bucket" {
  description = "The name of the bucket; no other account may have one of this name."
  type        = string
}

variable "prefix" {
  description = "The `prefix` of the I/O manager."
  type        = string
  default     = "prod"
}

variable "name" {
  description = "Of the role, the policy and the task definitions."
  type        = string
  default     = "dagster-lake"
}

variable "image" {
  description = "Your code with `dagster`, `dagster-aws` and `dagster-buckets[s3]` in it, and definitions.py at /app."
  type        = string
}

variable "execution_role_arn" {
  description = "The execution role of your Dagster deployment: it pulls images and writes logs."
  type        = string
}

variable "log_group" {
  description = "The log group of your Dagster deployment."
  type        = string
}

variable "cpu" {
  description = "CPU units of a run; 1024 are one processor."
  type        = number
  default     = 1024
}

variable "memory" {
  description = "MiB of a run."
  type        = number
  default     = 4096
}
