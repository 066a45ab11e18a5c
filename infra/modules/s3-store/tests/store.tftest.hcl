# The real provider, without an account: nothing is applied and nothing is asked.
provider "aws" {
  region                      = "eu-west-1"
  access_key                  = "test"
  secret_key                  = "test"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
}

override_data {
  target = data.aws_caller_identity.current
  values = { account_id = "123456789012" }
}

override_resource {
  target          = aws_s3_bucket.this
  override_during = plan
  values          = { id = "lake", arn = "arn:aws:s3:::lake", region = "eu-west-1" }
}

override_resource {
  target          = aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-west-1:123456789012:key/1", key_id = "1" }
}

variables {
  bucket = "lake"
  prefix = "prod"
}

run "defaults" {
  command = plan

  assert {
    condition     = output.env == { LAKE_BUCKET = "lake", LAKE_PREFIX = "prod", LAKE_REGION = "eu-west-1", LAKE_OWNER = "123456789012" }
    error_message = "The environment must be what the Definitions read."
  }

  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.this.block_public_acls,
      aws_s3_bucket_public_access_block.this.block_public_policy,
      aws_s3_bucket_public_access_block.this.ignore_public_acls,
      aws_s3_bucket_public_access_block.this.restrict_public_buckets,
    ])
    error_message = "Nothing may become public."
  }

  assert {
    condition     = aws_s3_bucket_ownership_controls.this.rule[0].object_ownership == "BucketOwnerEnforced"
    error_message = "ACLs must be off."
  }

  assert {
    condition     = one(aws_s3_bucket_server_side_encryption_configuration.this.rule).bucket_key_enabled
    error_message = "KMS must not be asked for each object."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).kms_master_key_id == output.kms_key_arn && output.kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/1"
    error_message = "The key that is made must be used."
  }

  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation
    error_message = "The key must rotate."
  }

  assert {
    condition     = aws_s3_bucket_versioning.this.versioning_configuration[0].status == "Enabled"
    error_message = "What is overwritten must be kept."
  }

  assert {
    condition = {
      for statement in jsondecode(aws_s3_bucket_policy.this[0].policy).Statement : statement.Sid => [
        statement.Effect, statement.Principal, statement.Action, statement.Condition
      ]
      } == {
      RefuseWithoutTls = ["Deny", "*", "s3:*", { Bool = { "aws:SecureTransport" = "false" } }]
      RefuseOldTls     = ["Deny", "*", "s3:*", { NumericLessThan = { "s3:TlsVersion" = "1.2" } }]
    }
    error_message = "Requests without TLS 1.2 must be refused to everybody."
  }

  assert {
    condition = {
      for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id => rule.status
    } == { "unfinished-uploads" = "Enabled", "old-versions" = "Enabled", "outputs-of-ops" = "Enabled" }
    error_message = "All three rules must be there."
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.filter[0].prefix if rule.id == "outputs-of-ops"] == ["prod/.runs/"]
    error_message = "Only the outputs of ops may expire."
  }
}

run "at_the_top_of_the_bucket" {
  command = plan

  variables {
    prefix = ""
  }

  assert {
    condition     = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.filter[0].prefix if rule.id == "outputs-of-ops"] == [".runs/"]
    error_message = "Without a prefix the outputs of ops are at the top."
  }
}

run "outputs_of_ops_are_kept" {
  command = plan

  variables {
    runs_expiration_days = null
  }

  assert {
    condition     = !contains(aws_s3_bucket_lifecycle_configuration.this.rule[*].id, "outputs-of-ops")
    error_message = "Null keeps them."
  }
}

run "a_given_key" {
  command = plan

  variables {
    encryption  = "given-key"
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/2"
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && output.kms_key_arn == "arn:aws:kms:eu-west-1:123456789012:key/2"
    error_message = "No key may be made where one is given."
  }
}

run "keys_of_s3" {
  command = plan

  variables {
    encryption = "s3"
  }

  assert {
    condition     = length(aws_kms_key.this) == 0 && output.kms_key_arn == null
    error_message = "There is no key then."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.this.rule).apply_server_side_encryption_by_default).sse_algorithm == "AES256"
    error_message = "S3 must encrypt."
  }
}

run "own_statements_stand_beside_the_refusals" {
  command = plan

  variables {
    policy_documents    = ["{\"Version\":\"2012-10-17\",\"Statement\":[{\"Sid\":\"Ours\",\"Effect\":\"Deny\",\"Principal\":\"*\",\"Action\":\"s3:DeleteBucket\",\"Resource\":\"arn:aws:s3:::lake\"}]}"]
    minimum_tls_version = "1.3"
  }

  assert {
    condition     = toset(jsondecode(aws_s3_bucket_policy.this[0].policy).Statement[*].Sid) == toset(["Ours", "RefuseOldTls", "RefuseWithoutTls"])
    error_message = "The policy must hold all of them."
  }
}

run "the_log_goes_where_it_is_told" {
  command = plan

  variables {
    access_log = { bucket = "logs" }
  }

  assert {
    condition     = aws_s3_bucket_logging.this[0].target_bucket == "logs"
    error_message = "S3 must log."
  }
}

run "a_key_that_is_missing" {
  command         = plan
  expect_failures = [var.kms_key_arn]

  variables {
    encryption = "given-key"
  }
}

run "a_key_that_would_be_ignored" {
  command         = plan
  expect_failures = [var.kms_key_arn]

  variables {
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/2"
  }
}

run "a_dot_in_the_name" {
  command         = plan
  expect_failures = [var.bucket]

  variables {
    bucket = "my.lake"
  }
}

run "a_prefix_that_is_none" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "/prod"
  }
}

run "no_days" {
  command         = plan
  expect_failures = [var.abort_uploads_days, var.noncurrent_version_days, var.runs_expiration_days, var.kms_deletion_window_days]

  variables {
    abort_uploads_days       = 0
    noncurrent_version_days  = 0
    runs_expiration_days     = 0
    kms_deletion_window_days = 1
  }
}

run "old_tls" {
  command         = plan
  expect_failures = [var.minimum_tls_version]

  variables {
    minimum_tls_version = "1.1"
  }
}
