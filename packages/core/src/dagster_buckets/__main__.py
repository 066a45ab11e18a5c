"""``python -m dagster_buckets``: the command line."""

from dagster_buckets.cli import main

if __name__ == "__main__":
    main()
