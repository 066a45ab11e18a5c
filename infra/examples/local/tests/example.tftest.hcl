# The schemas of the provider, with made-up answers.
mock_provider "aws" {
  override_during = plan
}

override_data {
  target          = module.store.data.aws_iam_policy_document.bucket
  override_during = plan
  values          = { json = "{}" }
}

override_data {
  target          = module.store.data.aws_iam_policy_document.key
  override_during = plan
  values          = { json = "{}" }
}

override_resource {
  target          = module.store.aws_s3_bucket.this
  override_during = plan
  values          = { id = "lake", arn = "arn:aws:s3:::lake", region = "eu-west-1" }
}

override_resource {
  target          = module.store.aws_kms_key.this
  override_during = plan
  values          = { arn = "arn:aws:kms:eu-west-1:123456789012:key/1", key_id = "1" }
}

override_resource {
  target          = module.access.aws_iam_policy.this
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dagster-lake" }
}

override_resource {
  target          = aws_iam_access_key.dagster
  override_during = plan
  values          = { id = "AKIDEXAMPLE", secret = "made-up" }
}

run "of_moto" {
  command = plan

  assert {
    condition     = output.env.LAKE_ENDPOINT == "http://127.0.0.1:5000" && output.env.AWS_ACCESS_KEY_ID == "AKIDEXAMPLE" && output.env.LAKE_BUCKET == "lake"
    error_message = "The environment must lead to moto, with the key of the user."
  }

  assert {
    condition     = aws_iam_user_policy_attachment.dagster.user == aws_iam_user.dagster.name
    error_message = "The user must have the policy."
  }
}

run "of_another_machine" {
  command         = plan
  expect_failures = [var.endpoint]

  variables {
    endpoint = "https://s3.eu-west-1.amazonaws.com"
  }
}
