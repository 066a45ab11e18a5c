locals {
  objects = var.prefix == "" ? "${var.bucket_arn}/*" : "${var.bucket_arn}/${var.prefix}/*"
  narrow  = var.prefix != "" && var.list_scope == "prefix"

  # Each with whether it is wanted. Every action is there because a call of dagster-buckets fails
  # without it: docs/how-to/terraform.md has the table.
  candidates = [
    {
      wanted = local.narrow
      statement = {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [var.bucket_arn]
        # The store always lists from "<prefix>/" on; engines may list the folder itself.
        Condition = { StringLike = { "s3:prefix" = [var.prefix, "${var.prefix}/*"] } }
      }
    },
    {
      wanted = !local.narrow
      statement = {
        Sid      = "List"
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [var.bucket_arn]
      }
    },
    {
      wanted = true
      statement = {
        Sid      = "Read"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = [local.objects]
      }
    },
    {
      wanted = !var.read_only
      statement = {
        Sid      = "Write"
        Effect   = "Allow"
        Action   = ["s3:AbortMultipartUpload", "s3:PutObject"]
        Resource = [local.objects]
      }
    },
    {
      wanted = var.allow_tagging
      statement = {
        Sid      = "Tag"
        Effect   = "Allow"
        Action   = ["s3:PutObjectTagging"]
        Resource = [local.objects]
      }
    },
    {
      wanted = var.allow_delete
      statement = {
        Sid      = "Delete"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = [local.objects]
      }
    },
    {
      wanted = var.allow_sweep
      statement = {
        Sid      = "FindUploads"
        Effect   = "Allow"
        Action   = ["s3:ListBucketMultipartUploads"]
        Resource = [var.bucket_arn]
      }
    },
    {
      wanted = var.allow_sweep
      statement = {
        Sid      = "FindParts"
        Effect   = "Allow"
        Action   = ["s3:ListMultipartUploadParts"]
        Resource = [local.objects]
      }
    },
    {
      wanted = var.kms_key_arn != null
      statement = {
        Sid    = "Key"
        Effect = "Allow"
        # Decrypt, to write in parts, too: S3 reads them again to complete the upload.
        Action    = var.read_only ? ["kms:Decrypt"] : ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.kms_key_arn]
        Condition = { StringLike = { "kms:ViaService" = ["s3.*.amazonaws.com", "s3.*.amazonaws.com.cn"] } }
      }
    },
  ]

  document = {
    Version   = "2012-10-17"
    Statement = [for candidate in local.candidates : candidate.statement if candidate.wanted]
  }
}
