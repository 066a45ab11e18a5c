data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

module "policy" {
  source = "../s3-policy"

  bucket_arn    = var.bucket_arn
  prefix        = var.prefix
  kms_key_arn   = var.kms_key_arn
  read_only     = var.read_only
  allow_delete  = var.allow_delete
  allow_sweep   = var.allow_sweep
  allow_tagging = var.allow_tagging
  list_scope    = var.list_scope
}

resource "aws_iam_policy" "this" {
  name        = var.name
  description = "Values of Dagster in ${var.bucket_arn}/${var.prefix}${var.read_only ? ", read only" : ""}"
  policy      = module.policy.json
  tags        = var.tags
}

resource "aws_iam_role_policy_attachment" "given" {
  for_each = var.attach_to

  role       = each.value
  policy_arn = aws_iam_policy.this.arn
}

# -- the role --------------------------------------------------------------------------------------

locals {
  account      = data.aws_caller_identity.current.account_id
  partition    = data.aws_partition.current.partition
  pod_identity = try(var.trust.pod_identity, null)
  irsa         = try(var.trust.irsa, null)
  issuer       = local.irsa == null ? "" : element(split(":oidc-provider/", local.irsa.oidc_provider_arn), 1)
}

data "aws_iam_policy_document" "trust" {
  count = var.trust == null ? 0 : 1

  dynamic "statement" {
    for_each = var.trust.ecs_tasks ? [1] : []

    content {
      sid     = "EcsTasks"
      actions = ["sts:AssumeRole"]

      principals {
        type        = "Service"
        identifiers = ["ecs-tasks.amazonaws.com"]
      }

      # ECS must not be talked into it by another account.
      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [local.account]
      }

      condition {
        test     = "ArnLike"
        variable = "aws:SourceArn"
        values   = ["arn:${local.partition}:ecs:*:${local.account}:*"]
      }
    }
  }

  dynamic "statement" {
    for_each = local.pod_identity == null ? [] : [local.pod_identity]

    content {
      sid     = "PodIdentity"
      actions = ["sts:AssumeRole", "sts:TagSession"]

      principals {
        type        = "Service"
        identifiers = ["pods.eks.amazonaws.com"]
      }

      condition {
        test     = "ArnEquals"
        variable = "aws:RequestTag/eks-cluster-arn"
        values   = [statement.value.cluster_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-namespace"
        values   = [statement.value.namespace]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-service-account"
        values   = statement.value.service_accounts
      }
    }
  }

  dynamic "statement" {
    for_each = local.irsa == null ? [] : [local.irsa]

    content {
      sid     = "Irsa"
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.oidc_provider_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${local.issuer}:aud"
        values   = ["sts.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "${local.issuer}:sub"
        values   = [for account in statement.value.service_accounts : "system:serviceaccount:${statement.value.namespace}:${account}"]
      }
    }
  }
}

resource "aws_iam_role" "this" {
  count = var.trust == null ? 0 : 1

  name                 = var.name
  description          = "Runs of Dagster that store values in ${var.bucket_arn}/${var.prefix}"
  assume_role_policy   = data.aws_iam_policy_document.trust[0].json
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags
}

resource "aws_iam_role_policy_attachment" "this" {
  count = var.trust == null ? 0 : 1

  role       = aws_iam_role.this[0].name
  policy_arn = aws_iam_policy.this.arn
}
