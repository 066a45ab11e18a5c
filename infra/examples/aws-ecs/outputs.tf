output "env" {
  description = "The environment that definitions.py reads; both task definitions have it."
  value       = module.store.env
}

output "role_arn" {
  description = "The task role of runs."
  value       = module.access.role_arn
}

output "code_task_definition_arn" {
  description = "For the service of your code location."
  value       = aws_ecs_task_definition.code.arn
}

output "run_task_definition_arn" {
  description = "What the run launcher starts."
  value       = aws_ecs_task_definition.run.arn
}

output "dagster_yaml" {
  description = "For the dagster.yaml of your webserver and daemon."
  value = yamlencode({
    run_launcher = {
      module = "dagster_aws.ecs"
      class  = "EcsRunLauncher"
      config = {
        task_definition = aws_ecs_task_definition.run.family
        container_name  = "run"
      }
    }
  })
}

output "bucket" {
  description = "The bucket."
  value       = module.store.bucket
}
