# The schemas of the provider, with made-up answers.
mock_provider "aws" {
  override_during = plan
}

override_data {
  target          = module.access.data.aws_caller_identity.current
  override_during = plan
  values          = { account_id = "123456789012" }
}

override_data {
  target          = module.access.data.aws_iam_policy_document.trust
  override_during = plan
  values          = { json = "{}" }
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
  target          = module.access.aws_iam_role.this
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:role/dagster-lake" }
}

variables {
  region             = "eu-west-1"
  bucket             = "lake"
  image              = "lake:1"
  execution_role_arn = "arn:aws:iam::123456789012:role/dagster-execution"
  log_group          = "dagster"
}

run "tasks" {
  command = plan

  assert {
    condition     = aws_ecs_task_definition.run.task_role_arn == output.role_arn && aws_ecs_task_definition.code.task_role_arn == null
    error_message = "Runs must have the role, and the code location must not."
  }

  assert {
    condition = alltrue([
      for task in [aws_ecs_task_definition.run, aws_ecs_task_definition.code] :
      { for entry in jsondecode(task.container_definitions)[0].environment : entry.name => entry.value } == output.env
    ])
    error_message = "Both tasks must have the environment that definitions.py reads."
  }

  assert {
    condition     = yamldecode(output.dagster_yaml).run_launcher.config.task_definition == aws_ecs_task_definition.run.family
    error_message = "The run launcher must start the task of runs."
  }
}
