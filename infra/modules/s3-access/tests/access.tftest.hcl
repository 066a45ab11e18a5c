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

variables {
  name       = "dagster-lake"
  bucket_arn = "arn:aws:s3:::lake"
  prefix     = "prod"
}

run "only_a_policy" {
  command = plan

  assert {
    condition     = length(aws_iam_role.this) == 0 && output.role_arn == null && aws_iam_policy.this.policy == output.policy_json
    error_message = "Without trust no role is made."
  }
}

run "for_roles_that_are_there" {
  command = plan

  variables {
    attach_to = { runs = "dagster-runs", backfills = "dagster-backfills" }
  }

  assert {
    condition     = { for name, given in aws_iam_role_policy_attachment.given : name => given.role } == { runs = "dagster-runs", backfills = "dagster-backfills" }
    error_message = "Each of the roles gets the policy."
  }
}

run "ecs" {
  command = plan

  variables {
    trust = { ecs_tasks = true }
  }

  assert {
    condition = jsondecode(aws_iam_role.this[0].assume_role_policy).Statement == [{
      Sid       = "EcsTasks"
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Condition = {
        StringEquals = { "aws:SourceAccount" = "123456789012" }
        ArnLike      = { "aws:SourceArn" = "arn:aws:ecs:*:123456789012:*" }
      }
    }]
    error_message = "Only tasks of this account may assume the role."
  }
}

run "irsa" {
  command = plan

  variables {
    trust = {
      irsa = {
        oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"
        namespace         = "dagster"
        service_accounts  = ["runs"]
      }
    }
  }

  assert {
    condition = jsondecode(aws_iam_role.this[0].assume_role_policy).Statement == [{
      Sid       = "Irsa"
      Effect    = "Allow"
      Action    = "sts:AssumeRoleWithWebIdentity"
      Principal = { Federated = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC" }
      Condition = {
        StringEquals = {
          "oidc.eks.eu-west-1.amazonaws.com/id/ABC:aud" = "sts.amazonaws.com"
          "oidc.eks.eu-west-1.amazonaws.com/id/ABC:sub" = "system:serviceaccount:dagster:runs"
        }
      }
    }]
    error_message = "Only this service account may assume the role."
  }
}

run "pod_identity" {
  command = plan

  variables {
    trust = {
      pod_identity = {
        cluster_arn      = "arn:aws:eks:eu-west-1:123456789012:cluster/prod"
        namespace        = "dagster"
        service_accounts = ["runs"]
      }
    }
  }

  assert {
    condition = jsondecode(aws_iam_role.this[0].assume_role_policy).Statement == [{
      Sid       = "PodIdentity"
      Effect    = "Allow"
      Action    = ["sts:TagSession", "sts:AssumeRole"]
      Principal = { Service = "pods.eks.amazonaws.com" }
      Condition = {
        ArnEquals = { "aws:RequestTag/eks-cluster-arn" = "arn:aws:eks:eu-west-1:123456789012:cluster/prod" }
        StringEquals = {
          "aws:RequestTag/kubernetes-namespace"       = "dagster"
          "aws:RequestTag/kubernetes-service-account" = "runs"
        }
      }
    }]
    error_message = "Only pods of this service account in this cluster may assume the role."
  }
}

run "nobody" {
  command         = plan
  expect_failures = [var.trust]

  variables {
    trust = {}
  }
}

run "no_pattern_of_service_accounts" {
  command         = plan
  expect_failures = [var.trust]

  variables {
    trust = {
      irsa = {
        oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/ABC"
        namespace         = "dagster"
        service_accounts  = ["*"]
      }
    }
  }
}

run "no_service_account" {
  command         = plan
  expect_failures = [var.trust]

  variables {
    trust = {
      pod_identity = {
        cluster_arn      = "arn:aws:eks:eu-west-1:123456789012:cluster/prod"
        namespace        = "dagster"
        service_accounts = []
      }
    }
  }
}

run "no_oidc_provider" {
  command         = plan
  expect_failures = [var.trust]

  variables {
    trust = {
      irsa = {
        oidc_provider_arn = "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC"
        namespace         = "dagster"
        service_accounts  = ["runs"]
      }
    }
  }
}
