data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  own_key = var.encryption == "own-key"
  kms     = var.encryption != "s3"

  kms_key_arn = local.own_key ? aws_kms_key.this[0].arn : var.kms_key_arn

  # Known before the bucket is there, so that a plan shows the policy.
  arn        = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket}"
  has_policy = var.minimum_tls_version != null || length(var.policy_documents) > 0
}

# -- the key ---------------------------------------------------------------------------------------

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:The policy of a key is about that key alone, whatever its resource says.
  #checkov:skip=CKV_AWS_111:As above; it is the policy that KMS itself gives to new keys.
  #checkov:skip=CKV_AWS_356:As above.
  count = local.own_key ? 1 : 0

  # KMS' own default: the account decides by its IAM policies who may use the key, and who
  # administers it can never be locked out.
  statement {
    sid       = "AccountDecides"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"]
    }
  }
}

resource "aws_kms_key" "this" {
  count = local.own_key ? 1 : 0

  description             = "Values of Dagster in the bucket ${var.bucket}"
  deletion_window_in_days = var.kms_deletion_window_days
  enable_key_rotation     = true
  policy                  = data.aws_iam_policy_document.key[0].json
  tags                    = var.tags
}

resource "aws_kms_alias" "this" {
  count = local.own_key ? 1 : 0

  name          = "alias/${var.bucket}"
  target_key_id = aws_kms_key.this[0].key_id
}

# -- the bucket ------------------------------------------------------------------------------------

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_62:Nobody here listens to events; who does can add them by the output bucket.
  #checkov:skip=CKV_AWS_144:Copies in another region are a decision of their own, and double the cost.
  bucket        = var.bucket
  force_destroy = var.force_destroy
  tags          = var.tags
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket = aws_s3_bucket.this.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    # With it KMS is asked once for many objects instead of once for each.
    bucket_key_enabled = local.kms

    apply_server_side_encryption_by_default {
      sse_algorithm     = local.kms ? "aws:kms" : "AES256"
      kms_master_key_id = local.kms ? local.kms_key_arn : null
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = var.versioning ? "Enabled" : "Suspended"
  }
}

resource "aws_s3_bucket_logging" "this" {
  count = var.access_log == null ? 0 : 1

  bucket        = aws_s3_bucket.this.id
  target_bucket = var.access_log.bucket
  target_prefix = var.access_log.prefix
}

# -- who may not -----------------------------------------------------------------------------------

data "aws_iam_policy_document" "bucket" {
  count = local.has_policy ? 1 : 0

  source_policy_documents = var.policy_documents

  dynamic "statement" {
    for_each = var.minimum_tls_version == null ? {} : {
      RefuseWithoutTls = { test = "Bool", variable = "aws:SecureTransport", value = "false" }
      RefuseOldTls     = { test = "NumericLessThan", variable = "s3:TlsVersion", value = var.minimum_tls_version }
    }

    content {
      sid       = statement.key
      effect    = "Deny"
      actions   = ["s3:*"]
      resources = [local.arn, "${local.arn}/*"]

      principals {
        type        = "*"
        identifiers = ["*"]
      }

      condition {
        test     = statement.value.test
        variable = statement.value.variable
        values   = [statement.value.value]
      }
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  count = local.has_policy ? 1 : 0

  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.bucket[0].json

  depends_on = [aws_s3_bucket_public_access_block.this]
}

# -- what goes by itself ---------------------------------------------------------------------------

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  #checkov:skip=CKV_AWS_300:The first rule does, which checkov does not see beside a dynamic one.
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_uploads_days
    }
  }

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_version_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = var.runs_expiration_days == null ? [] : [var.runs_expiration_days]

    content {
      id     = "outputs-of-ops"
      status = "Enabled"

      filter {
        prefix = join("/", compact([var.prefix, ".runs/"]))
      }

      expiration {
        days = rule.value
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}
