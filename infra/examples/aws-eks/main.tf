data "aws_eks_cluster" "this" {
  name = var.cluster_name
}

locals {
  pods = {
    namespace        = var.namespace
    service_accounts = [var.service_account]
  }
  irsa = var.identity == "irsa"
}

module "store" {
  source = "../../modules/s3-store"

  bucket = var.bucket
  prefix = var.prefix
}

module "access" {
  source = "../../modules/s3-access"

  name        = var.name
  bucket_arn  = module.store.bucket_arn
  prefix      = module.store.prefix
  kms_key_arn = module.store.kms_key_arn

  trust = {
    irsa         = local.irsa ? merge(local.pods, { oidc_provider_arn = var.oidc_provider_arn }) : null
    pod_identity = local.irsa ? null : merge(local.pods, { cluster_arn = data.aws_eks_cluster.this.arn })
  }
}

resource "aws_eks_pod_identity_association" "this" {
  count = local.irsa ? 0 : 1

  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = module.access.role_arn
}
