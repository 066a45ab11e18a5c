# No provider: the document is computed by Terraform alone.
terraform {
  required_version = ">= 1.9"
}
