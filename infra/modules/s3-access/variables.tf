variable "name" {
  description = "The name of the policy, and of the role if one is made."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,64}$", var.name))
    error_message = "1 to 64 letters, digits and +=,.@_-."
  }
}

variable "bucket_arn" {
  description = "The bucket: `module.store.bucket_arn`."
  type        = string
}

variable "prefix" {
  description = "The `prefix` of the I/O manager: nothing outside of it can be read or written. Empty: the whole bucket."
  type        = string
  default     = ""
  nullable    = false
}

variable "kms_key_arn" {
  description = "The key that encrypts the bucket: `module.store.kms_key_arn`. Null where S3's own keys do."
  type        = string
  default     = null
}

variable "read_only" {
  description = "Loading only: nothing can be written, deleted or swept."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_delete" {
  description = "`S3Store.delete`. No run needs it; where the bucket keeps versions, those are never deleted."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_sweep" {
  description = "`S3Store.sweep`. Not needed where a lifecycle rule aborts unfinished uploads, as that of `s3-store` does."
  type        = bool
  default     = false
  nullable    = false
}

variable "allow_tagging" {
  description = "The setting `tags` of the I/O manager."
  type        = bool
  default     = false
  nullable    = false
}

variable "list_scope" {
  description = "What can be listed: the keys under the `prefix`, or those of the whole `bucket`."
  type        = string
  default     = "prefix"
  nullable    = false
}

variable "attach_to" {
  description = "Names of roles that are there already and get the policy, under names of your choice: `{ runs = aws_iam_role.runs.name }`."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "trust" {
  description = "Make a role that may be assumed by tasks of ECS, by pods through EKS Pod Identity, or by pods through the OIDC provider of their cluster (IRSA). Null makes none."
  type = object({
    ecs_tasks = optional(bool, false)
    pod_identity = optional(object({
      cluster_arn      = string
      namespace        = string
      service_accounts = set(string)
    }))
    irsa = optional(object({
      oidc_provider_arn = string
      namespace         = string
      service_accounts  = set(string)
    }))
  })
  default = null

  validation {
    condition     = var.trust == null ? true : var.trust.ecs_tasks || var.trust.pod_identity != null || var.trust.irsa != null
    error_message = "Nobody could assume the role: give ecs_tasks, pod_identity or irsa."
  }

  validation {
    condition     = try(var.trust.irsa, null) == null ? true : can(regex(":oidc-provider/", var.trust.irsa.oidc_provider_arn))
    error_message = "oidc_provider_arn must be the ARN of an OIDC provider of IAM."
  }

  # A pattern would trust more service accounts than it names.
  validation {
    condition = alltrue([
      for name in flatten([
        for pods in [try(var.trust.irsa, null), try(var.trust.pod_identity, null)] :
        pods == null ? [] : concat([pods.namespace], tolist(pods.service_accounts))
      ]) : can(regex("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", name))
    ])
    error_message = "Namespaces and service accounts must be named in full, without patterns."
  }

  validation {
    condition = alltrue([
      for pods in [try(var.trust.irsa, null), try(var.trust.pod_identity, null)] :
      pods == null ? true : length(pods.service_accounts) > 0
    ])
    error_message = "At least one service account must be named."
  }
}

variable "permissions_boundary" {
  description = "The ARN of a policy that bounds the role that is made."
  type        = string
  default     = null
}

variable "tags" {
  description = "Of everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
