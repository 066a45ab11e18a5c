variable "project" {
  description = "The project of the bucket, the service account and the cluster."
  type        = string
}

variable "location" {
  description = "Where the bucket is: that of the cluster, so that no traffic is paid."
  type        = string
}

variable "bucket" {
  description = "The name of the bucket; nobody else may have one of this name."
  type        = string
}

variable "prefix" {
  description = "The `prefix` of the I/O manager."
  type        = string
  default     = "prod"
}

variable "service_account_id" {
  description = "Of the service account of Google that is made."
  type        = string
  default     = "dagster-lake"
}

variable "namespace" {
  description = "The namespace of the release."
  type        = string
  default     = "dagster"
}

variable "service_account" {
  description = "The Kubernetes service account of user code and runs; the Helm values name it."
  type        = string
  default     = "dagster"
}

variable "kms_key_name" {
  description = "A key of Cloud KMS in the location of the bucket, by its full name; null for Google's own."
  type        = string
  default     = null
}

variable "image" {
  description = "Your code with `dagster`, `dagster-k8s` and `dagster-buckets[gcs]` in it, and definitions.py at /app."
  type = object({
    repository = string
    tag        = string
  })
}
