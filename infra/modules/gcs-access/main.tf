locals {
  own     = var.service_account_id != null
  objects = "projects/_/buckets/${var.bucket}/objects/${var.prefix}/"

  # Under names that are known before anything is made.
  members = merge(var.members, local.own ? { own = google_service_account.this[0].member } : {})

  pods = var.workload_identity == null ? {} : {
    for name in var.workload_identity.service_accounts :
    name => "serviceAccount:${var.workload_identity.pool}[${var.workload_identity.namespace}/${name}]"
  }
}

resource "google_service_account" "this" {
  count = local.own ? 1 : 0

  project      = var.project
  account_id   = var.service_account_id
  display_name = "Runs of Dagster"
  description  = "Values of Dagster in gs://${var.bucket}/${var.prefix}${var.read_only ? ", read only" : ""}"
}

resource "google_storage_bucket_iam_member" "objects" {
  for_each = local.members

  bucket = var.bucket
  role   = var.read_only ? "roles/storage.objectViewer" : "roles/storage.objectUser"
  member = each.value

  dynamic "condition" {
    for_each = var.prefix == "" ? [] : [local.objects]

    content {
      title       = "dagster-prefix"
      description = "Only objects under ${var.prefix}/"
      expression  = "resource.type == \"storage.googleapis.com/Object\" && resource.name.startsWith(\"${condition.value}\")"
    }
  }
}

# What is listed is the bucket, which no condition on objects reaches.
resource "google_storage_bucket_iam_member" "list" {
  for_each = var.prefix == "" ? {} : local.members

  bucket = var.bucket
  role   = var.list_role
  member = each.value
}

resource "google_service_account_iam_member" "pods" {
  for_each = local.pods

  service_account_id = google_service_account.this[0].name
  role               = "roles/iam.workloadIdentityUser"
  member             = each.value
}
