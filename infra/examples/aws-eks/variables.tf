variable "region" {
  description = "Where the bucket and the cluster are."
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
  description = "Of the role and the policy."
  type        = string
  default     = "dagster-lake"
}

variable "cluster_name" {
  description = "The cluster that Dagster's Helm chart is installed in."
  type        = string
}

variable "namespace" {
  description = "The namespace of the release."
  type        = string
  default     = "dagster"
}

variable "service_account" {
  description = "The service account of user code and runs; the Helm values name it."
  type        = string
  default     = "dagster"
}

variable "identity" {
  description = "How pods assume the role: `pod_identity` (the agent must be installed in the cluster) or `irsa`."
  type        = string
  default     = "pod_identity"

  validation {
    condition     = contains(["pod_identity", "irsa"], var.identity)
    error_message = "It must be pod_identity or irsa."
  }
}

variable "oidc_provider_arn" {
  description = "The OIDC provider of the cluster in IAM, with `identity = \"irsa\"`."
  type        = string
  default     = null

  validation {
    condition     = var.identity != "irsa" || var.oidc_provider_arn != null
    error_message = "IRSA needs the OIDC provider of the cluster."
  }
}

variable "image" {
  description = "Your code with `dagster`, `dagster-k8s` and `dagster-buckets[s3]` in it, and definitions.py at /app."
  type = object({
    repository = string
    tag        = string
  })
}
