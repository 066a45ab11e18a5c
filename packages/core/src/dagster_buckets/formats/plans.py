"""Plans: what Dask has to compute so that the parts of values are written.

Nothing but the plan and the entries of the manifest passes through the process that asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from dagster_buckets.errors import BucketsError, StoreUnavailableError

if TYPE_CHECKING:
    from dagster_buckets.objects import Body
    from dagster_buckets.parts import PartFolder

__all__ = ["Plan", "Reported", "compute_each"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The writing of the parts of one value.

    Attributes:
        kind: The class of the report: those of one class share their tasks.
        report: A collection of Dask's. Computing it writes the parts.
        body: Makes the manifest of what the report was computed to.
        folder: Where the parts lie.
        write_id: What their names begin with.
    """

    kind: type
    report: Any
    body: Callable[[Any], Body]
    folder: PartFolder
    write_id: str

    def compute(self) -> Body:
        """Write the parts by whatever runs Dask's tasks here, and give the manifest.

        Raises:
            EncodeError: The format cannot hold a part. None is left then.
            StoreError: The store failed.
        """
        import dask

        try:
            (found,) = dask.compute(self.report)
            return self.body(found)
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Remove the parts that are there. What a task still writes is found by ``gc``."""
        with suppress(BucketsError):
            self.folder.delete_of(self.write_id)


#: The number of a plan, and its manifest or why there is none.
Reported: TypeAlias = "tuple[int, Body | Exception]"


def compute_each(plans: Sequence[Plan]) -> Iterator[list[Reported]]:
    """Compute all plans as one graph for each kind, and give what came of them, as it comes.

    Tasks that plans have in common run once. On a cluster what fails fails alone. Elsewhere Dask
    gives up a graph at its first failure: the plans in it are then computed one by one, and what
    they share as often; where the store cannot be reached, no more are tried. What has failed has
    left no parts.
    """
    import dask
    from dask.base import get_scheduler

    for kind in dict.fromkeys(plan.kind for plan in plans):
        numbers = [number for number, plan in enumerate(plans) if plan.kind is kind]
        reports = [plans[number].report for number in numbers]
        left = set(numbers)
        try:
            client = getattr(get_scheduler(collections=reports), "__self__", None)
            if hasattr(client, "compute"):
                for batch in _on_cluster(client, reports):
                    done = [(numbers[at], result) for at, result in batch]
                    left.difference_update(number for number, _ in done)
                    yield [(number, _manifest(plans[number], result)) for number, result in done]
                continue
            try:
                found = list(dask.compute(*reports))
            except Exception:  # noqa: BLE001 - each tells its own
                for number in numbers:
                    plans[number].abandon()
                yield from ([reported] for reported in _one_by_one(plans, numbers))
            else:
                yield [
                    (number, _manifest(plans[number], result))
                    for number, result in zip(numbers, found, strict=True)
                ]
            left.clear()
        finally:
            for number in left:
                plans[number].abandon()


def _on_cluster(client: Any, reports: list[Any]) -> Iterator[list[tuple[int, Any]]]:
    """What each report was computed to, or its error, in batches of what is ready."""
    from distributed import as_completed

    futures = client.compute(reports)
    number = {future.key: at for at, future in enumerate(futures)}
    try:
        with _seceded():
            for batch in as_completed(futures).batches():
                yield [(number[future.key], _result(future)) for future in batch]
    finally:
        client.cancel([future for future in futures if not future.done()])


@contextmanager
def _seceded() -> Iterator[None]:
    """Within a task of Dask's: its thread is left to others while this one waits for them."""
    from distributed import get_worker, rejoin, secede

    try:
        get_worker()
    except ValueError:
        yield
        return
    secede()
    try:
        yield
    finally:
        rejoin()


def _result(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001 - kept, and raised by who asked
        return error


def _manifest(plan: Plan, result: Any) -> Body | Exception:
    if not isinstance(result, Exception):
        return plan.body(result)
    plan.abandon()
    return result


def _one_by_one(plans: Sequence[Plan], numbers: Sequence[int]) -> Iterator[Reported]:
    unreachable: StoreUnavailableError | None = None
    for number in numbers:
        if unreachable is not None:
            yield number, unreachable
            continue
        try:
            yield number, plans[number].compute()
        except StoreUnavailableError as error:
            unreachable = error
            yield number, error
        except Exception as error:  # noqa: BLE001 - kept, and raised by who asked
            yield number, error
