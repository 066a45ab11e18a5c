from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_buckets import MemoryIOManager
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import ConfigurationError, IntegrityError
from dagster_buckets.formats.signing import SigningKeys
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import payload_of
from pydantic import ValidationError

OLD, NEW = "old:0123456789abcdef", "2026-11:fedcba9876543210"
NAMES = ["pickle", "cloudpickle"]


def signing(keys: str, name: str = "pickle") -> Any:
    return Formats(signing_keys=SigningKeys.parse(keys)).named(name)


class Planted:
    """What an attacker writes."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_signed_comes_back(name: str) -> None:
    chosen = signing(NEW, name)
    assert chosen.decode(payload_of(chosen.encode({1, 2})), None) == {1, 2}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_unsigned_runs(name: str, tmp_path: Path) -> None:
    planted = pickle.dumps(Planted(tmp_path / "ran"))
    genuine = bytes(signing(NEW, name).encode([1] * 50).joined())
    trailer = genuine[genuine.rindex(b"\ndagster") :]
    other = signing("2026-11:another-secret-of-16", name).encode(Planted(tmp_path / "ran")).joined()
    forged = [planted, planted + trailer, bytes(other), planted + genuine, trailer, b""]
    forged += [
        genuine[:-1],
        genuine + b"\n",
        genuine + planted,
        genuine.replace(b"2026-11", b"2026-12"),
    ]
    forged += [
        genuine[:i] + bytes([genuine[i] ^ 1]) + genuine[i + 1 :] for i in range(len(genuine))
    ]
    for data in forged:
        with pytest.raises(IntegrityError) as caught:
            signing(NEW, name).decode(payload_of(Body.of(data)), None)
        assert "memory://" in str(caught.value)
        assert caught.value.hint
    assert not (tmp_path / "ran").exists()
    # Without a key it does run: the forgery is a real one.
    Formats().named(name).decode(payload_of(Body.of(planted)), None)
    assert (tmp_path / "ran").exists()


def test_keys_rotate_by_their_ids() -> None:
    stored = payload_of(signing(OLD).encode("value"))
    rotated = signing(f"{NEW}, {OLD}")
    assert rotated.decode(stored, None) == "value"
    assert signing(NEW).decode(payload_of(rotated.encode("new")), None) == "new"
    with pytest.raises(IntegrityError, match="key 'old', which pickle_key does not have"):
        signing(NEW).decode(stored, None)


def test_one_id_does_not_stand_for_another() -> None:
    # The id is signed as well: two ids with one secret are two keys.
    twins = signing("a:0123456789abcdef b:0123456789abcdef")
    data = bytes(twins.encode(1).joined()).replace(b"sha256:a:", b"sha256:b:")
    with pytest.raises(IntegrityError, match="was not signed"):
        twins.decode(payload_of(Body.of(data)), None)


def test_others_read_what_was_signed() -> None:
    assert pickle.loads(signing(NEW).encode([1, 2]).joined()) == [1, 2]  # noqa: S301


@pytest.mark.parametrize(
    "keys", ["", "secret-without-an-id-of-it", ":0123456789abcdef", "a:short", f"{OLD},{OLD}", "a b:0123456789abcdef"]
)  # fmt: skip
def test_keys_that_cannot_be(keys: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SigningKeys.parse(keys)
    assert "0123456789" not in str(caught.value)
    assert "secret-without" not in str(caught.value)


def test_a_manager_refuses_a_wrong_key_at_once_and_shows_no_right_one() -> None:
    with pytest.raises((ConfigurationError, ValidationError), match="id:secret"):
        MemoryIOManager(pickle_key="nonsense")
    manager = MemoryIOManager(pickle_key=NEW)
    assert "fedcba" not in f"{manager!r} {manager} {manager.values!r}"
    assert "fedcba" not in repr(manager.values.formats.named("pickle"))


def test_a_run_signs_and_verifies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @dg.asset(metadata={"dagster_buckets/format": "pickle"})
    def numbers() -> set[int]:
        return {1, 2}

    @dg.asset
    def total(numbers: set[int]) -> int:
        return sum(numbers)

    monkeypatch.setenv("PICKLE_KEY", NEW)
    manager = MemoryIOManager(name=str(tmp_path), pickle_key=dg.EnvVar("PICKLE_KEY"))
    with dg.DagsterInstance.ephemeral() as instance:
        options: Any = {"resources": {"io_manager": manager}, "instance": instance}
        assert dg.materialize([numbers, total], **options).success
        store = MemoryIOManager(name=str(tmp_path)).values.store
        assert b"hmac-sha256:2026-11:" in bytes(store.get("numbers/data.pickle").data)
        store.put("numbers/data.pickle", Body.of(pickle.dumps(Planted(tmp_path / "ran"))))
        failed = dg.materialize(
            [numbers, total], selection=[total], raise_on_error=False, **options
        )
        assert not failed.success
        (event,) = failed.get_step_failure_events()
        assert "is not signed" in str(event.event_specific_data)
    assert not (tmp_path / "ran").exists()


def test_the_longest_id_and_a_long_value() -> None:
    keys = SigningKeys.parse(f"{'k' * 64}:correct-horse-battery")
    value = b"x" * 1000
    assert bytes(keys.verified(value + keys.trailer([value]), "memory://x")) == value
