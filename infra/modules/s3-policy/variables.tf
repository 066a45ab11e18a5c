variable "bucket_arn" {
  description = "The bucket, as `arn:aws:s3:::lake`."
  type        = string

  validation {
    condition     = can(regex("^arn:[a-z-]+:s3:::[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_arn))
    error_message = "It must be the ARN of a bucket, without a key."
  }
}

variable "prefix" {
  description = "The `prefix` of the I/O manager: nothing outside of it can be read or written. Empty: the whole bucket."
  type        = string
  default     = ""

  # A `*`, a `?` or a `$` would be a pattern in the policy, and wider than it looks.
  validation {
    condition     = var.prefix == "" || can(regex("^[A-Za-z0-9!_.=+@,:-]+(/[A-Za-z0-9!_.=+@,:-]+)*$", var.prefix))
    error_message = "It must be folders joined by '/', without one at either end, of letters, digits and !_.=+@,:- only."
  }

  validation {
    condition     = length(setintersection(split("/", var.prefix), [".", ".."])) == 0
    error_message = "A folder cannot be '.' or '..'."
  }
}

variable "read_only" {
  description = "Loading only: nothing can be written, deleted or swept."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !(var.read_only && (var.allow_delete || var.allow_sweep || var.allow_tagging))
    error_message = "What is read only can neither delete, sweep nor tag."
  }
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

variable "kms_key_arn" {
  description = "The KMS key that encrypts the bucket; null where S3's own keys do."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "It must be the ARN of a key: policies know no aliases."
  }
}

variable "list_scope" {
  description = "What can be listed: the keys under the `prefix`, or those of the whole `bucket`."
  type        = string
  default     = "prefix"
  nullable    = false

  validation {
    condition     = contains(["prefix", "bucket"], var.list_scope)
    error_message = "It must be prefix or bucket."
  }
}
