variable "project" {
  description = "The project of the service account that is made."
  type        = string
}

variable "bucket" {
  description = "The bucket: `module.store.bucket`."
  type        = string
}

variable "prefix" {
  description = "The `prefix` of the I/O manager: no object outside of it can be read or written. Empty: the whole bucket."
  type        = string
  default     = ""
  nullable    = false

  # It goes into an expression: nothing in it may end the text there.
  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9!_.=+@,:-]+(/[A-Za-z0-9!_.=+@,:-]+)*$", var.prefix))
    error_message = "It must be folders joined by '/', without one at either end, of letters, digits and !_.=+@,:- only."
  }
}

variable "read_only" {
  description = "Loading only. Where values can be written they can be deleted, too: on GCS overwriting is deleting."
  type        = bool
  default     = false
  nullable    = false
}

variable "list_role" {
  description = "With a prefix: the role on the bucket that allows to list. Conditions on objects do not reach listings, so names outside of the prefix can be seen; give a custom role with `storage.objects.list` alone to hide the settings of the bucket."
  type        = string
  default     = "roles/storage.legacyBucketReader"
  nullable    = false
}

variable "service_account_id" {
  description = "The name of the service account that is made; null to make none and give `members`."
  type        = string
  default     = null

  validation {
    condition     = var.service_account_id == null || can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.service_account_id))
    error_message = "6 to 30 lower-case letters, digits and hyphens, a letter first."
  }

  validation {
    condition     = var.service_account_id != null || length(var.members) > 0
    error_message = "Nobody would get access: give service_account_id or members."
  }
}

variable "members" {
  description = "Who else gets the same access, under names of your choice: `{ runs = \"serviceAccount:runs@shop.iam.gserviceaccount.com\" }`."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(values(var.members), ["allUsers", "allAuthenticatedUsers"])) == 0
    error_message = "Not everybody."
  }
}

variable "workload_identity" {
  description = "Kubernetes service accounts that may act as the service account that is made, by Workload Identity. `pool` is that of the cluster, as a rule `<project>.svc.id.goog`."
  type = object({
    pool             = string
    namespace        = string
    service_accounts = set(string)
  })
  default = null

  validation {
    condition     = var.workload_identity == null || var.service_account_id != null
    error_message = "It needs service_account_id."
  }

  # A pattern would trust more service accounts than it names.
  validation {
    condition = var.workload_identity == null ? true : alltrue([
      for name in concat([var.workload_identity.namespace], tolist(var.workload_identity.service_accounts)) :
      can(regex("^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", name))
    ])
    error_message = "Namespaces and service accounts must be named in full, without patterns."
  }
}
