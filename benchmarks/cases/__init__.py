"""What is measured: each module has one case, and the ways that it compares."""
