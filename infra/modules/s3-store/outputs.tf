output "bucket" {
  description = "The name of the bucket, known only once it is there."
  value       = aws_s3_bucket.this.id
}

output "bucket_arn" {
  description = "For `s3-access`."
  value       = aws_s3_bucket.this.arn
}

output "prefix" {
  description = "As given; for `s3-access`, so that both mean the same."
  value       = var.prefix
}

output "kms_key_arn" {
  description = "For `s3-access`: the key that encrypts the values; null if S3's own do."
  value       = local.kms ? local.kms_key_arn : null
}

output "env" {
  description = "The environment that the Definitions of the examples read: bucket, prefix, region and owner."
  value = {
    LAKE_BUCKET = aws_s3_bucket.this.id
    LAKE_PREFIX = var.prefix
    LAKE_REGION = aws_s3_bucket.this.region
    LAKE_OWNER  = data.aws_caller_identity.current.account_id
  }

  # What is read from it may be used at once: nothing of it is missing then.
  depends_on = [
    aws_s3_bucket_lifecycle_configuration.this,
    aws_s3_bucket_ownership_controls.this,
    aws_s3_bucket_policy.this,
    aws_s3_bucket_public_access_block.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_versioning.this,
  ]
}
