"""Outputs of ops: the keys that our own layouts give them.

::

    .runs/<run>/<step>/<output>[/<mapping key>]/data.<ext>

No asset can have them, because an encoded name holds no dot.
"""

from __future__ import annotations

from dagster_buckets.address import OpAddress
from dagster_buckets.layouts.encoding import decode, encode_name

__all__ = ["RUNS", "parse_run", "run_stem"]

#: The folder of all runs.
RUNS = ".runs"


def run_stem(address: OpAddress) -> str:
    """The key of an op's output, up to its extension."""
    names = [address.run_id, address.step_key, address.output_name]
    if address.mapping_key is not None:
        names.append(address.mapping_key)
    return "/".join([RUNS, *map(encode_name, names), "data."])


def parse_run(folder: list[str]) -> OpAddress | None:
    """The output whose folder this may be (its key has to be compared).

    Raises:
        UnicodeError: It was not encoded here.
    """
    names = [decode(component) for component in folder[1:]]
    if folder[0] != RUNS or len(names) not in (3, 4):
        return None
    return OpAddress(*names)
