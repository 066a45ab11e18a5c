variables {
  bucket_arn = "arn:aws:s3:::lake"
  prefix     = "prod"
}

run "a_writer_reads_lists_and_writes" {
  command = plan

  assert {
    condition     = output.actions == tolist(["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListBucket", "s3:PutObject"])
    error_message = "A writer needs exactly these."
  }

  assert {
    condition     = jsondecode(output.json).Statement[0].Condition.StringLike["s3:prefix"] == ["prod", "prod/*"]
    error_message = "Only the prefix may be listed."
  }

  assert {
    condition     = alltrue([for statement in jsondecode(output.json).Statement : statement.Resource == (statement.Sid == "List" ? ["arn:aws:s3:::lake"] : ["arn:aws:s3:::lake/prod/*"])])
    error_message = "Only objects under the prefix may be reached."
  }
}

run "a_reader_only_reads" {
  command = plan

  variables {
    read_only   = true
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/1"
  }

  assert {
    condition     = output.actions == tolist(["kms:Decrypt", "s3:GetObject", "s3:ListBucket"])
    error_message = "A reader cannot write."
  }
}

run "more_is_asked_for" {
  command = plan

  variables {
    allow_delete  = true
    allow_sweep   = true
    allow_tagging = true
    kms_key_arn   = "arn:aws:kms:eu-west-1:123456789012:key/1"
  }

  assert {
    condition = output.actions == tolist([
      "kms:Decrypt", "kms:GenerateDataKey", "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject",
      "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts", "s3:PutObject",
      "s3:PutObjectTagging",
    ])
    error_message = "Each grant adds its actions."
  }
}

run "the_whole_bucket" {
  command = plan

  variables {
    prefix = ""
  }

  assert {
    condition     = !strcontains(output.json, "Condition") && strcontains(output.json, "\"arn:aws:s3:::lake/*\"")
    error_message = "Without a prefix everything in the bucket is reached."
  }
}

run "a_pattern_is_no_prefix" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "pro*"
  }
}

run "a_policy_variable_is_no_prefix" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "$${aws:username}"
  }
}

run "a_prefix_ends_without_a_slash" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "prod/"
  }
}

run "a_prefix_goes_nowhere_else" {
  command         = plan
  expect_failures = [var.prefix]

  variables {
    prefix = "prod/../secret"
  }
}

run "a_bucket_is_no_pattern" {
  command         = plan
  expect_failures = [var.bucket_arn]

  variables {
    bucket_arn = "arn:aws:s3:::*"
  }
}

run "a_key_is_no_alias" {
  command         = plan
  expect_failures = [var.kms_key_arn]

  variables {
    kms_key_arn = "alias/lake"
  }
}

run "a_reader_cannot_delete" {
  command         = plan
  expect_failures = [var.read_only]

  variables {
    read_only    = true
    allow_delete = true
  }
}
