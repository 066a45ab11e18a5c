output "bucket" {
  description = "The name of the bucket, known only once it is there; for `gcs-access`."
  value       = google_storage_bucket.this.id
}

output "prefix" {
  description = "As given; for `gcs-access`, so that both mean the same."
  value       = var.prefix
}

output "env" {
  description = "The environment that the Definitions of the examples read: bucket, prefix and project."
  value = {
    LAKE_BUCKET  = google_storage_bucket.this.id
    LAKE_PREFIX  = var.prefix
    LAKE_PROJECT = var.project
  }
}
