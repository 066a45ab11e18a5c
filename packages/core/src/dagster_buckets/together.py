"""Together: the values of many partitions whose parts one graph of Dask's writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dagster_buckets.formats.dask_types import comes_in_lists, written_class
from dagster_buckets.formats.frames import comes_in_parts
from dagster_buckets.requests import Target
from dagster_buckets.storing import Stored, Storing
from dagster_buckets.transfer import Outcome, run_all

if TYPE_CHECKING:
    from dagster_buckets.formats.plans import Plan
    from dagster_buckets.objects import Body

__all__ = ["write_together"]

_Outcome: TypeAlias = Outcome[Target, Stored]


def write_together(
    begin: Callable[[Target], Storing],
    targets: Iterable[Target],
    by_key: Mapping[str, Any],
    *,
    max_concurrency: int,
    then: Callable[[_Outcome], None],
) -> list[_Outcome]:
    """Write the values that Dask computes; others are left out.

    The value of a partition is stored as soon as all its parts are there. What fails leaves all
    others written, the old value in its place, and no parts.

    Args:
        begin: Begins the writing of a value.
        targets: Of all partitions.
        by_key: The values.
        max_concurrency: How many manifests are written at once.
        then: Called in this thread with every outcome, as soon as it is there.
    """
    outcomes: list[_Outcome] = []
    names = {name for name, value in by_key.items() if _is_planned(value)}
    if not names:
        return outcomes

    def add(outcome: _Outcome) -> None:
        outcomes.append(outcome)
        then(outcome)

    planned: list[tuple[Target, Storing, Plan]] = []
    for target in targets:
        if target.name not in names:
            continue
        try:
            storing = begin(target)
            plan = storing.plan(by_key[target.name])
        except Exception as error:  # noqa: BLE001 - kept, and raised by the caller
            add(Outcome(target, error=error))
            continue
        if plan is not None:
            planned.append((target, storing, plan))
    if planned:
        _compute(planned, max_concurrency, add)
    return outcomes


def _told(storing: Storing, error: Exception) -> Exception:
    """The error of a task, which does not know whose value it worked for."""
    try:
        with storing.about():
            raise error  # noqa: TRY301 - it comes from another process
    except Exception as known:  # noqa: BLE001 - that one
        return known


def _is_planned(value: Any) -> bool:
    cls = written_class(value)
    return comes_in_parts(cls) or comes_in_lists(cls)


def _compute(
    planned: Sequence[tuple[Target, Storing, Plan]],
    max_concurrency: int,
    add: Callable[[_Outcome], None],
) -> None:
    from dagster_buckets.formats.plans import compute_each

    def put(item: tuple[int, Body]) -> Stored:
        number, body = item
        _, storing, plan = planned[number]
        try:
            return storing.put(body)
        except Exception:
            plan.abandon()
            raise

    for batch in compute_each([plan for _, _, plan in planned]):
        bodies = []
        for number, result in batch:
            if isinstance(result, Exception):
                target, storing, _ = planned[number]
                add(Outcome(target, error=_told(storing, result)))
            else:
                bodies.append((number, result))
        run_all(
            put,
            bodies,
            max_concurrency=max_concurrency,
            then=lambda found: add(
                Outcome(planned[found.item[0]][0], result=found.result, error=found.error)
            ),
        )
