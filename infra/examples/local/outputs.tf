output "env" {
  description = "The environment that definitions.py reads, with credentials that moto made up."
  sensitive   = true
  value = merge(module.store.env, {
    LAKE_ENDPOINT         = var.endpoint
    AWS_ACCESS_KEY_ID     = aws_iam_access_key.dagster.id
    AWS_SECRET_ACCESS_KEY = aws_iam_access_key.dagster.secret
  })
  depends_on = [aws_iam_user_policy_attachment.dagster]
}

output "policy_json" {
  description = "What the user may do."
  value       = module.access.policy_json
}

output "bucket" {
  description = "The bucket."
  value       = module.store.bucket
}
