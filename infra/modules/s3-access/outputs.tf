output "policy_json" {
  description = "The policy document, for a role that is managed elsewhere."
  value       = module.policy.json
}

output "policy_arn" {
  description = "The managed policy."
  value       = aws_iam_policy.this.arn
}

output "role_arn" {
  description = "The role that was made, once it has the policy; null without `trust`."
  value       = var.trust == null ? null : aws_iam_role.this[0].arn
  depends_on  = [aws_iam_role_policy_attachment.this]
}

output "role_name" {
  description = "The name of that role; null without `trust`."
  value       = var.trust == null ? null : aws_iam_role.this[0].name
}
