# The schemas of the provider, with made-up answers.
mock_provider "aws" {
  override_during = plan
}

override_data {
  target          = data.aws_eks_cluster.this
  override_during = plan
  values          = { arn = "arn:aws:eks:eu-west-1:123456789012:cluster/prod" }
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
  target          = module.access.aws_iam_role.this
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:role/dagster-lake" }
}

override_resource {
  target          = module.access.aws_iam_policy.this
  override_during = plan
  values          = { arn = "arn:aws:iam::123456789012:policy/dagster-lake" }
}

variables {
  region       = "eu-west-1"
  bucket       = "lake"
  cluster_name = "prod"
  image        = { repository = "lake", tag = "1" }
}

run "pod_identity" {
  command = plan

  assert {
    condition     = aws_eks_pod_identity_association.this[0].role_arn == output.role_arn && aws_eks_pod_identity_association.this[0].service_account == yamldecode(output.helm_values).global.serviceAccountName
    error_message = "The pods of the Helm values must get the role."
  }

  assert {
    condition     = yamldecode(output.helm_values).serviceAccount.annotations == {}
    error_message = "An annotation would be that of IRSA."
  }
}

run "irsa" {
  command = plan

  variables {
    identity          = "irsa"
    oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"
  }

  assert {
    condition     = length(aws_eks_pod_identity_association.this) == 0 && yamldecode(output.helm_values).serviceAccount.annotations == { "eks.amazonaws.com/role-arn" = output.role_arn }
    error_message = "The service account must name the role."
  }
}

run "irsa_without_a_provider" {
  command         = plan
  expect_failures = [var.oidc_provider_arn]

  variables {
    identity = "irsa"
  }
}
