# The schemas of the provider, with made-up answers: there is no server to apply this to.
mock_provider "google" {
  override_during = plan
}

override_resource {
  target          = google_storage_bucket.this
  override_during = plan
  values          = { id = "lake" }
}

override_data {
  target = data.google_storage_project_service_account.this
  values = { email_address = "service-1@gs-project-accounts.iam.gserviceaccount.com" }
}

variables {
  bucket   = "lake"
  project  = "shop"
  location = "europe-west1"
  prefix   = "prod"
}

run "defaults" {
  command = plan

  assert {
    condition     = output.env == { LAKE_BUCKET = "lake", LAKE_PREFIX = "prod", LAKE_PROJECT = "shop" }
    error_message = "The environment must be what the Definitions read."
  }

  assert {
    condition     = google_storage_bucket.this.uniform_bucket_level_access && google_storage_bucket.this.public_access_prevention == "enforced"
    error_message = "No object may have rights of its own, and nothing may become public."
  }

  assert {
    condition     = google_storage_bucket.this.soft_delete_policy[0].retention_duration_seconds == 604800 && !google_storage_bucket.this.versioning[0].enabled
    error_message = "What is overwritten must be kept for a week."
  }

  assert {
    condition = jsonencode([
      for rule in google_storage_bucket.this.lifecycle_rule :
      [one(rule.action).type, one(rule.condition).age, one(rule.condition).matches_prefix]
      ]) == jsonencode([
      ["AbortIncompleteMultipartUpload", 3, null],
      ["Delete", 30, ["prod/.runs/"]],
    ])
    error_message = "Only unfinished uploads and outputs of ops may go."
  }

  assert {
    condition     = length(google_storage_bucket.this.encryption) == 0 && length(google_kms_crypto_key_iam_member.storage) == 0
    error_message = "Without a key Google's own encrypts."
  }
}

run "versions_instead_of_soft_deletion" {
  command = plan

  variables {
    versioning = true
  }

  assert {
    condition     = google_storage_bucket.this.versioning[0].enabled && google_storage_bucket.this.soft_delete_policy[0].retention_duration_seconds == 0
    error_message = "Nobody should pay for both."
  }

  assert {
    condition     = [for rule in google_storage_bucket.this.lifecycle_rule : one(rule.condition).days_since_noncurrent_time if one(rule.condition).with_state == "ARCHIVED"] == [30]
    error_message = "Old versions must go."
  }
}

run "a_key" {
  command = plan

  variables {
    kms_key_name = "projects/shop/locations/europe-west1/keyRings/lake/cryptoKeys/values"
  }

  assert {
    condition     = google_storage_bucket.this.encryption[0].default_kms_key_name == "projects/shop/locations/europe-west1/keyRings/lake/cryptoKeys/values"
    error_message = "The key must be used."
  }

  assert {
    condition     = google_kms_crypto_key_iam_member.storage[0].member == "serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com" && google_kms_crypto_key_iam_member.storage[0].role == "roles/cloudkms.cryptoKeyEncrypterDecrypter"
    error_message = "Storage, and nobody else, must be allowed to use the key."
  }
}

run "at_the_top_of_the_bucket" {
  command = plan

  variables {
    prefix = ""
  }

  assert {
    condition     = flatten([for rule in google_storage_bucket.this.lifecycle_rule : one(rule.condition).matches_prefix if one(rule.action).type == "Delete"]) == [".runs/"]
    error_message = "Without a prefix the outputs of ops are at the top."
  }
}

run "outputs_of_ops_are_kept" {
  command = plan

  variables {
    runs_expiration_days = null
  }

  assert {
    condition     = [for rule in google_storage_bucket.this.lifecycle_rule : one(rule.action).type] == ["AbortIncompleteMultipartUpload"]
    error_message = "Null keeps them."
  }
}

run "a_version_of_a_key" {
  command         = plan
  expect_failures = [var.kms_key_name]

  variables {
    kms_key_name = "projects/shop/locations/europe-west1/keyRings/lake/cryptoKeys/values/cryptoKeyVersions/1"
  }
}

run "days_that_google_refuses" {
  command         = plan
  expect_failures = [var.soft_delete_days]

  variables {
    soft_delete_days = 3
  }
}

run "a_prefix_that_is_none" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "prod/"
  }
}
