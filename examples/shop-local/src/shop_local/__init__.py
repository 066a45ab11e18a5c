"""An example: a shop whose values lie in a folder."""
