"""Bags and lists of ``Delayed``: a cluster writes and reads their parts, and a worker is killed."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import dagster as dg
import dask
import dask.bag as db
import pytest
from dagster_buckets import (
    AssetAddress,
    BucketIOManager,
    HiveLayout,
    IntegrityError,
    ValueStore,
    bucket_options,
)
from dagster_buckets_local import LocalIOManager, LocalStore
from dask.bag import Bag
from dask.delayed import Delayed
from distributed import Client, get_worker

from tests.integration.commands import Invoke, told
from tests.integration.support import keys, materialized, run

WORDS = [{"word": f"w{n}"} for n in range(9)]


def shout(word: dict[str, str]) -> str:
    return word["word"].upper()


def square(number: int) -> int:
    return number**2


def double(number: int) -> int:
    return 2 * number


@dg.asset
def words() -> Bag:
    return db.from_sequence(WORDS, npartitions=3)


@dg.asset
def shouted(words: Bag) -> Bag:
    return words.map(shout)


@dg.asset
def squares() -> list[Delayed]:
    return [dask.delayed(square)(number) for number in range(4)]


@dg.asset
def doubled(squares: list[Delayed]) -> list[Delayed]:
    return [dask.delayed(double)(number) for number in squares]


@dg.asset
def said(shouted: list[str], doubled: list[int]) -> dict[str, Any]:
    return {"shouted": shouted, "doubled": doubled}


SAID = {"shouted": [f"W{n}" for n in range(9)], "doubled": [0, 2, 8, 18]}


@pytest.mark.parametrize("make_manager", ["s3", "local", "gcs"], indirect=True)
def test_workers_write_and_read_the_parts(manager: BucketIOManager, client: Client) -> None:
    assets = [words, shouted, squares, doubled, said]
    result = run(assets, manager)
    assert result.output_for_node("said") == SAID
    for name, count in (("words", 3), ("shouted", 3), ("squares", 4), ("doubled", 4)):
        assert f"{name}/data.json.manifest" in keys(manager)
        assert len([key for key in keys(manager) if key.startswith(f"{name}/data.parts/")]) == count
    (event,) = [event for event in materialized(result) if event.label == "words"]
    assert event.metadata["dagster_buckets/parts"] == 3
    assert event.metadata["dagster_buckets/format"] == "json"
    # In another run nothing is known of what the producer returns.
    assert run(assets, manager, selection=[said]).output_for_node("said") == SAID
    assert len(client.nthreads()) == 2


def test_nothing_passes_through_the_process_that_asks(
    tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan and the manifest do: this process may neither encode nor decode a value."""
    from dagster_buckets.formats.json import JSONFormat

    def refuse(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(JSONFormat, "encode", refuse)
    monkeypatch.setattr(JSONFormat, "decode", refuse)
    manager = LocalIOManager(root=str(tmp_path))
    assert run([words, shouted, squares, doubled], manager).success
    monkeypatch.undo()
    result = run([words, shouted, squares, doubled, said], manager, selection=[said])
    assert result.output_for_node("said") == SAID


def in_a_set(word: dict[str, str]) -> set[str]:
    return {word["word"]}


def test_pickles_are_signed_by_the_workers(tmp_path: Path, client: Client) -> None:
    @dg.asset(metadata=bucket_options(format="pickle"))
    def sets() -> Bag:
        return db.from_sequence(WORDS, npartitions=2).map(in_a_set)

    @dg.asset
    def count(sets: Bag) -> int:
        return int(sets.map(len).sum().compute())

    manager = LocalIOManager(root=str(tmp_path), pickle_key="one:correct-horse-battery")
    assert run([sets, count], manager).output_for_node("count") == len(WORDS)
    part = min((tmp_path / "sets/data.parts").iterdir())
    assert b"dagster-buckets-hmac-sha256:one:" in part.read_bytes()
    unsigned = LocalIOManager(root=str(tmp_path))
    run([sets], unsigned)
    with pytest.raises(IntegrityError, match="is not signed"):
        run([sets, count], manager, selection=[count])


def dies_once(number: int, folder: str) -> int:
    """An item whose worker is killed while it makes it, the first time."""
    mark = Path(folder) / f"died-{number}"
    if number == 2 and not mark.exists():
        mark.touch()
        get_worker()
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    return number


@pytest.mark.parametrize("kind", [Bag, pytest.param(list[Delayed], marks=pytest.mark.long)])
def test_a_worker_that_is_killed_is_replaced(tmp_path: Path, client: Client, kind: Any) -> None:
    @dg.asset
    def survived() -> kind:
        if kind is Bag:
            return db.from_sequence(range(6), npartitions=6).map(dies_once, folder=str(tmp_path))
        return [dask.delayed(dies_once)(number, str(tmp_path)) for number in range(6)]

    @dg.asset
    def found(survived: list[int]) -> list[int]:
        return survived

    manager = LocalIOManager(root=str(tmp_path / "lake"))
    result = run([survived, found], manager)
    assert (tmp_path / "died-2").exists()
    assert result.output_for_node("found") == list(range(6))


def test_what_the_commands_say(tmp_path: Path, invoke: Invoke) -> None:
    values = ValueStore(LocalStore(str(tmp_path / "lake")), HiveLayout())
    address = AssetAddress.of(["words"])
    with dask.config.set(scheduler="threads"):
        values.write(address, db.from_sequence(["old"]))
        values.write(address, db.from_sequence(WORDS, npartitions=3))
    total = sum(info.size for info in values.store.scan())

    (row,) = told(invoke("ls", "lake", "--json"))["values"]
    assert (row["format"], row["size_bytes"], row["objects"]) == ("json", total, 5)
    usage = told(invoke("du", "lake", "--json"))
    assert (usage["objects"], usage["size_bytes"]) == (5, total)
    shown = told(invoke("show", "lake", "words", "--json"))
    assert (shown["kind"], shown["text"]) == (
        "text",
        '[{"word": "w0"}, {"word": "w1"}, {"word": "w2"}]',
    )
    assert shown["note"] == "a list of 9 in 3 parts, of which the first is shown"
    assert "a list of 9 in 3 parts" in invoke("show", "lake", "words").output

    for path in (tmp_path / "lake").rglob("*.*"):
        os.utime(path, (time.time() - 48 * 3600,) * 2)
    assert len(told(invoke("gc", "lake", "--yes", "--json"))["unnamed_parts"]) == 1
    assert told(invoke("migrate", "lake", "copy", "--json"))["copied"] == 1
    copy = ValueStore(LocalStore(str(tmp_path / "copy")), HiveLayout())
    assert copy.read(address) == WORDS
    assert told(invoke("diff", "lake", "copy", "--json"))["alike"] == 1
    # The same bytes, but each part is an item now.
    with dask.config.set(scheduler="threads"):
        thirds = [dask.delayed(list)(WORDS[n : n + 3]) for n in (0, 3, 6)]
        copy.write(address, thirds)
    assert told(invoke("diff", "lake", "copy", "--json", code=1))["alike"] == 0


def test_pickles_are_told_of_and_never_read(tmp_path: Path, invoke: Invoke) -> None:
    values = ValueStore(LocalStore(str(tmp_path / "lake")), HiveLayout())
    with dask.config.set(scheduler="threads"):
        values.write(AssetAddress.of(["sets"]), db.from_sequence([{1}]), format_name="pickle")
    assert told(invoke("show", "lake", "sets", "--json"))["kind"] == "code"
    (row,) = told(invoke("ls", "lake", "--json"))["values"]
    assert (row["format"], row["objects"]) == ("pickle", 2)


def test_verify_and_migrate_by_definitions(
    tmp_path: Path, invoke: Invoke, log: dg.DagsterInstance
) -> None:
    (tmp_path / "shop.py").write_text(
        "import dagster as dg\n"
        "from dagster_buckets_local import LocalIOManager\n"
        "from tests.integration.test_dask_lists import squares, words\n"
        'old = LocalIOManager(root="lake")\n'
        'new = LocalIOManager(root="new", layout="legacy")\n'
        'defs = dg.Definitions(assets=[words, squares], resources={"io_manager": old, "new": new})\n'
    )
    manager = LocalIOManager(root=str(tmp_path / "lake"))
    with dask.config.set(scheduler="threads"):
        dg.materialize([words, squares], resources={"io_manager": manager}, instance=log)
    assert told(invoke("verify", "-f", "shop.py", "--full", "--json"))["intact"] == 2
    # Dagster's own layout has no room for parts: there the values are lists.
    done = told(invoke("migrate", "-f", "shop.py", "io_manager", "new", "--json"))
    assert (done["converted"], done["failed"]) == (2, [])
    new = LocalIOManager(root=str(tmp_path / "new"), layout="legacy", format="json")
    assert new.values.read(AssetAddress.of(["words"]), format_name="json") == WORDS
    assert new.values.read(AssetAddress.of(["squares"]), format_name="json") == [0, 1, 4, 9]
    part = min((tmp_path / "lake/words/data.parts").iterdir())
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    (found,) = told(invoke("verify", "-f", "shop.py", "--full", "--json", code=1))["findings"]
    assert (found["kind"], found["asset"]) == ("altered", "words")
    part.unlink()
    (found,) = told(invoke("verify", "-f", "shop.py", "--json", code=1))["findings"]
    assert found["reason"] == f"its part {part.name} is not there"
