# -- the key ---------------------------------------------------------------------------------------

data "google_storage_project_service_account" "this" {
  count = var.kms_key_name == null ? 0 : 1

  project = var.project
}

# Storage itself encrypts; who writes needs no access to the key.
resource "google_kms_crypto_key_iam_member" "storage" {
  count = var.kms_key_name == null ? 0 : 1

  crypto_key_id = var.kms_key_name
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${data.google_storage_project_service_account.this[0].email_address}"
}

# -- the bucket ------------------------------------------------------------------------------------

resource "google_storage_bucket" "this" {
  #checkov:skip=CKV_GCP_78:Soft deletion keeps what is overwritten, unless versioning is chosen.
  name          = var.bucket
  project       = var.project
  location      = var.location
  storage_class = var.storage_class
  force_destroy = var.force_destroy
  labels        = var.labels

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = var.versioning
  }

  soft_delete_policy {
    retention_duration_seconds = var.versioning ? 0 : var.soft_delete_days * 24 * 60 * 60
  }

  dynamic "encryption" {
    for_each = var.kms_key_name == null ? [] : [var.kms_key_name]

    content {
      default_kms_key_name = encryption.value
    }
  }

  dynamic "logging" {
    for_each = var.access_log == null ? [] : [var.access_log]

    content {
      log_bucket        = logging.value.bucket
      log_object_prefix = logging.value.prefix
    }
  }

  # -- what goes by itself -------------------------------------------------------------------------

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = var.abort_uploads_days
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.versioning ? [var.noncurrent_version_days] : []

    content {
      action {
        type = "Delete"
      }

      condition {
        days_since_noncurrent_time = lifecycle_rule.value
        with_state                 = "ARCHIVED"
      }
    }
  }

  dynamic "lifecycle_rule" {
    for_each = var.runs_expiration_days == null ? [] : [var.runs_expiration_days]

    content {
      action {
        type = "Delete"
      }

      condition {
        age            = lifecycle_rule.value
        matches_prefix = [join("/", compact([var.prefix, ".runs/"]))]
        with_state     = "LIVE"
      }
    }
  }

  # A bucket of a key that may not be used yet is refused.
  depends_on = [google_kms_crypto_key_iam_member.storage]
}
