# The schemas of the provider, with made-up answers: there is no server to apply this to.
mock_provider "google" {
  override_during = plan
}

override_resource {
  target          = module.store.google_storage_bucket.this
  override_during = plan
  values          = { id = "lake" }
}

override_resource {
  target          = module.access.google_service_account.this
  override_during = plan
  values = {
    name   = "projects/shop/serviceAccounts/dagster-lake@shop.iam.gserviceaccount.com"
    email  = "dagster-lake@shop.iam.gserviceaccount.com"
    member = "serviceAccount:dagster-lake@shop.iam.gserviceaccount.com"
  }
}

variables {
  project  = "shop"
  location = "europe-west1"
  bucket   = "lake"
  image    = { repository = "lake", tag = "1" }
}

run "helm_values" {
  command = plan

  assert {
    condition     = { for entry in yamldecode(output.helm_values)["dagster-user-deployments"].deployments[0].env : entry.name => entry.value } == output.env
    error_message = "The pods must get the environment."
  }

  assert {
    condition     = yamldecode(output.helm_values).serviceAccount.annotations == { "iam.gke.io/gcp-service-account" = "dagster-lake@shop.iam.gserviceaccount.com" }
    error_message = "The pods must be the service account."
  }
}
