"""Dagster I/O managers for object stores: the core that all stores share."""
