"""Only the environment of ``nox -s webserver`` has Dagster's webserver."""

import importlib.util

if importlib.util.find_spec("dagster_webserver") is None:
    collect_ignore_glob = ["test_*.py"]
