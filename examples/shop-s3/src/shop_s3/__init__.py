"""An example: a shop whose values lie in Amazon S3."""
