variable "bucket" {
  description = "The name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "3 to 63 lower-case letters, digits and hyphens. A dot would not match the certificate of S3."
  }
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

variable "encryption" {
  description = "What encrypts the values: `own-key` (a KMS key that is made here), `given-key` (that of `kms_key_arn`) or `s3` (S3's own keys)."
  type        = string
  default     = "own-key"
  nullable    = false

  validation {
    condition     = contains(["own-key", "given-key", "s3"], var.encryption)
    error_message = "It must be own-key, given-key or s3."
  }
}

variable "kms_key_arn" {
  description = "The KMS key, with `encryption = \"given-key\"`."
  type        = string
  default     = null

  validation {
    condition     = var.encryption != "given-key" || var.kms_key_arn != null
    error_message = "With encryption = \"given-key\" the key must be given."
  }

  validation {
    condition     = var.encryption == "given-key" || var.kms_key_arn == null
    error_message = "A key is given, but encryption is not \"given-key\"."
  }
}

variable "kms_deletion_window_days" {
  description = "How long a key that is made here can be kept from deletion."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.kms_deletion_window_days >= 7 && var.kms_deletion_window_days <= 30
    error_message = "KMS allows 7 to 30 days."
  }
}

variable "versioning" {
  description = "Keep what was overwritten or deleted, for `noncurrent_version_days`."
  type        = bool
  default     = true
  nullable    = false
}

variable "noncurrent_version_days" {
  description = "After so many days what was overwritten or deleted is gone for good."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.noncurrent_version_days >= 1 && floor(var.noncurrent_version_days) == var.noncurrent_version_days
    error_message = "It must be a whole number of days, 1 or more."
  }
}

variable "abort_uploads_days" {
  description = "After so many days the parts of an upload are deleted that nobody completed. An upload takes minutes."
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

variable "minimum_tls_version" {
  description = "Requests without TLS, or over an older one, are refused: `1.2` or `1.3`. Null refuses none, for servers that are not AWS and have no TLS."
  type        = string
  default     = "1.2"

  validation {
    condition     = var.minimum_tls_version == null ? true : contains(["1.2", "1.3"], var.minimum_tls_version)
    error_message = "It must be 1.2, 1.3 or null."
  }
}

variable "access_log" {
  description = "Where S3 logs who asked for what; null logs nothing."
  type = object({
    bucket = string
    prefix = optional(string, "")
  })
  default = null
}

variable "policy_documents" {
  description = "More statements for the policy of the bucket, which can have only one, as JSON documents."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "force_destroy" {
  description = "Let `terraform destroy` delete a bucket that holds values, with all of them."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Of everything that is made here."
  type        = map(string)
  default     = {}
  nullable    = false
}
