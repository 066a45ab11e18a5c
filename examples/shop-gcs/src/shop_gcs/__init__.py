"""An example: a shop whose values lie in Google Cloud Storage."""
