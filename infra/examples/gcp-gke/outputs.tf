output "env" {
  description = "The environment that definitions.py reads; the Helm values have it."
  value       = module.store.env
}

output "service_account_email" {
  description = "Who user code and runs are."
  value       = module.access.service_account_email
}

output "helm_values" {
  description = "For Dagster's Helm chart: `helm upgrade --install … --values`. Runs get the environment of their code location."
  value = yamlencode({
    global = { serviceAccountName = var.service_account }
    serviceAccount = {
      create      = true
      annotations = { "iam.gke.io/gcp-service-account" = module.access.service_account_email }
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
