output "json" {
  description = "The policy document, for any role."
  value       = jsonencode(local.document)
}

output "actions" {
  description = "Every action that it allows, sorted."
  value       = sort(distinct(flatten([for statement in local.document.Statement : statement.Action])))
}
