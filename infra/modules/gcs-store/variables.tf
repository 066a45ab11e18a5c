variable "bucket" {
  description = "The name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$", var.bucket)) && !startswith(var.bucket, "goog")
    error_message = "3 to 63 lower-case letters, digits, hyphens and underscores; not 'goog…'."
  }
}

variable "project" {
  description = "The project of the bucket."
  type        = string
}

variable "location" {
  description = "A region (`europe-west1`), a dual region (`EUR4`) or a multi-region (`EU`)."
  type        = string
}

variable "prefix" {
  description = "The `prefix` of the I/O manager. Empty: the values are at the top of the bucket."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9!_.=+@,:-]+(/[A-Za-z0-9!_.=+@,:-]+)*$", var.prefix))
    error_message = "It must be folders joined by '/', without one at either end, of letters, digits and !_.=+@,:- only."
  }

  validation {
    condition     = length(setintersection(split("/", var.prefix), [".", ".."])) == 0
    error_message = "A folder cannot be '.' or '..'."
  }
}

variable "storage_class" {
  description = "Of new values. All but STANDARD cost for early deletion, and every run replaces values."
  type        = string
  default     = "STANDARD"
  nullable    = false

  validation {
    condition     = contains(["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"], var.storage_class)
    error_message = "It must be STANDARD, NEARLINE, COLDLINE or ARCHIVE."
  }
}

variable "versioning" {
  description = "Keep what was overwritten or deleted as versions, for `noncurrent_version_days`, instead of soft deletion."
  type        = bool
  default     = false
  nullable    = false
}

variable "noncurrent_version_days" {
  description = "With `versioning`: after so many days what was overwritten or deleted is gone for good."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.noncurrent_version_days >= 1 && floor(var.noncurrent_version_days) == var.noncurrent_version_days
    error_message = "It must be a whole number of days, 1 or more."
  }
}

variable "soft_delete_days" {
  description = "So long what was overwritten or deleted can be restored; 0 for not at all. Ignored with `versioning`, which would pay for both."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90 && floor(var.soft_delete_days) == var.soft_delete_days)
    error_message = "Google allows 0, or 7 to 90 days."
  }
}

variable "abort_uploads_days" {
  description = "After so many days the parts of an upload are deleted that nobody completed. Ours expire by themselves after a week; those of other tools may not."
  type        = number
  default     = 3
  nullable    = false

  validation {
    condition     = var.abort_uploads_days >= 1 && floor(var.abort_uploads_days) == var.abort_uploads_days
    error_message = "It must be a whole number of days, 1 or more."
  }
}

variable "runs_expiration_days" {
  description = "After so many days the outputs of ops (`.runs/` under the prefix) are deleted; assets never are. Null keeps them."
  type        = number
  default     = 30

  validation {
    condition     = var.runs_expiration_days == null ? true : var.runs_expiration_days >= 1 && floor(var.runs_expiration_days) == var.runs_expiration_days
    error_message = "It must be a whole number of days, 1 or more, or null."
  }
}

variable "kms_key_name" {
  description = "The full name of a key of Cloud KMS that encrypts the values (CMEK), in the location of the bucket; null for Google's own keys. The service agent of Storage is allowed to use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_name == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key_name))
    error_message = "It must be projects/…/locations/…/keyRings/…/cryptoKeys/…, without a version."
  }
}

variable "access_log" {
  description = "Where Google logs who asked for what; null logs nothing."
  type = object({
    bucket = string
    prefix = optional(string)
  })
  default = null
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete a bucket that holds values, with all of them."
  type        = bool
  default     = false
  nullable    = false
}

variable "labels" {
  description = "Of the bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}
