# The schemas of the provider, with made-up answers: there is no server to apply this to.
mock_provider "google" {
  override_during = plan
}

override_resource {
  target          = google_service_account.this
  override_during = plan
  values = {
    name   = "projects/shop/serviceAccounts/dagster@shop.iam.gserviceaccount.com"
    email  = "dagster@shop.iam.gserviceaccount.com"
    member = "serviceAccount:dagster@shop.iam.gserviceaccount.com"
  }
}

variables {
  project            = "shop"
  bucket             = "lake"
  prefix             = "prod"
  service_account_id = "dagster"
}

run "a_writer" {
  command = plan

  assert {
    condition     = { for name, given in google_storage_bucket_iam_member.objects : name => [given.role, given.member] } == { own = ["roles/storage.objectUser", "serviceAccount:dagster@shop.iam.gserviceaccount.com"] }
    error_message = "The service account must be able to read and write, and nothing else."
  }

  assert {
    condition     = google_storage_bucket_iam_member.objects["own"].condition[0].expression == "resource.type == \"storage.googleapis.com/Object\" && resource.name.startsWith(\"projects/_/buckets/lake/objects/prod/\")"
    error_message = "Only objects under the prefix may be reached."
  }

  assert {
    condition     = google_storage_bucket_iam_member.list["own"].role == "roles/storage.legacyBucketReader" && length(google_storage_bucket_iam_member.list["own"].condition) == 0
    error_message = "A condition on objects would forbid to list."
  }

  assert {
    condition     = length(google_service_account_iam_member.pods) == 0
    error_message = "No pod may act as the service account unless it is named."
  }
}

run "a_reader" {
  command = plan

  variables {
    read_only = true
  }

  assert {
    condition     = google_storage_bucket_iam_member.objects["own"].role == "roles/storage.objectViewer"
    error_message = "A reader cannot write."
  }
}

run "the_whole_bucket" {
  command = plan

  variables {
    prefix = ""
  }

  assert {
    condition     = length(google_storage_bucket_iam_member.objects["own"].condition) == 0 && length(google_storage_bucket_iam_member.list) == 0
    error_message = "The role on the bucket lists, too."
  }
}

run "pods" {
  command = plan

  variables {
    workload_identity = {
      pool             = "shop.svc.id.goog"
      namespace        = "dagster"
      service_accounts = ["runs"]
    }
  }

  assert {
    condition     = { for name, given in google_service_account_iam_member.pods : name => [given.role, given.member] } == { runs = ["roles/iam.workloadIdentityUser", "serviceAccount:shop.svc.id.goog[dagster/runs]"] }
    error_message = "Only this Kubernetes service account may act as the service account."
  }
}

run "members_without_a_service_account" {
  command = plan

  variables {
    service_account_id = null
    members            = { runs = "serviceAccount:runs@shop.iam.gserviceaccount.com" }
  }

  assert {
    condition     = output.service_account_email == null && google_storage_bucket_iam_member.objects["runs"].member == "serviceAccount:runs@shop.iam.gserviceaccount.com"
    error_message = "Who is there already gets the same access."
  }
}

run "not_everybody" {
  command         = plan
  expect_failures = [var.members]

  variables {
    members = { all = "allUsers" }
  }
}

run "nobody" {
  command         = plan
  expect_failures = [var.service_account_id]

  variables {
    service_account_id = null
  }
}

run "no_end_of_the_text" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "x\") || (\"a\" == \"a"
  }
}

run "no_pattern_of_service_accounts" {
  command         = plan
  expect_failures = [var.workload_identity]

  variables {
    workload_identity = {
      pool             = "shop.svc.id.goog"
      namespace        = "dagster"
      service_accounts = ["*"]
    }
  }
}
