module "store" {
  source = "../../modules/s3-store"

  bucket        = var.bucket
  prefix        = var.prefix
  force_destroy = true

  # moto speaks plain HTTP, and takes a refusal under a condition for one without.
  minimum_tls_version = null
}

module "access" {
  source = "../../modules/s3-access"

  name        = "${var.bucket}-dagster"
  bucket_arn  = module.store.bucket_arn
  prefix      = module.store.prefix
  kms_key_arn = module.store.kms_key_arn
}

# On this machine nothing can assume a role: a user with a key stands for it.
resource "aws_iam_user" "dagster" {
  #checkov:skip=CKV_AWS_273:It is a user of moto, who can reach nothing.
  name = "${var.bucket}-dagster"
}

resource "aws_iam_user_policy_attachment" "dagster" {
  #checkov:skip=CKV_AWS_40:moto's user stands for a role here.
  user       = aws_iam_user.dagster.name
  policy_arn = module.access.policy_arn
}

resource "aws_iam_access_key" "dagster" {
  user = aws_iam_user.dagster.name
}
