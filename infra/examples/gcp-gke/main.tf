module "store" {
  source = "../../modules/gcs-store"

  bucket       = var.bucket
  project      = var.project
  location     = var.location
  prefix       = var.prefix
  kms_key_name = var.kms_key_name
}

module "access" {
  source = "../../modules/gcs-access"

  project            = var.project
  bucket             = module.store.bucket
  prefix             = module.store.prefix
  service_account_id = var.service_account_id

  workload_identity = {
    pool             = "${var.project}.svc.id.goog"
    namespace        = var.namespace
    service_accounts = [var.service_account]
  }
}
