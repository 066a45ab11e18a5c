output "env" {
  description = "The environment that definitions.py reads; the Helm values have it."
  value       = module.store.env
}

output "role_arn" {
  description = "The role of user code and runs."
  value       = module.access.role_arn
}

output "helm_values" {
  description = "For Dagster's Helm chart: `helm upgrade --install … --values`. Runs get the environment of their code location."
  value = yamlencode({
    global = { serviceAccountName = var.service_account }
    serviceAccount = {
      create      = true
      annotations = { for name, arn in { "eks.amazonaws.com/role-arn" = module.access.role_arn } : name => arn if local.irsa }
    }
    runLauncher = { type = "K8sRunLauncher" }
    "dagster-user-deployments" = {
      enabled = true
      deployments = [{
        name                        = "lake"
        image                       = merge(var.image, { pullPolicy = "IfNotPresent" })
        dagsterApiGrpcArgs          = ["--python-file", "/app/definitions.py"]
        port                        = 3030
        env                         = [for name, value in module.store.env : { name = name, value = value }]
        includeConfigInLaunchedRuns = { enabled = true }
      }]
    }
  })
}

output "bucket" {
  description = "The bucket."
  value       = module.store.bucket
}
