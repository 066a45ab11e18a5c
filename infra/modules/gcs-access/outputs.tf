output "service_account_email" {
  description = "The service account that was made, once it has access; null if none was."
  value       = local.own ? google_service_account.this[0].email : null

  depends_on = [
    google_service_account_iam_member.pods,
    google_storage_bucket_iam_member.list,
    google_storage_bucket_iam_member.objects,
  ]
}
