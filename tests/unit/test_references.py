from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from dagster_buckets import Body, MemoryStore, ObjectNotFoundError, ObjectRef
from dagster_buckets.errors import IntegrityError
from dagster_buckets_local import LocalStore


@pytest.fixture
def ref() -> ObjectRef:
    store = MemoryStore("test_references")
    return ObjectRef(store.put("a/data.bin", Body.of(b"0123456789")), store)


def test_it_says_what_the_store_said(ref: ObjectRef) -> None:
    info = ref.store.head("a/data.bin")
    assert (ref.uri, ref.size, ref.etag, ref.modified) == (
        info.uri,
        10,
        info.etag,
        info.modified,
    )


def test_open_is_seekable(ref: ObjectRef) -> None:
    with ref.open() as file:
        file.seek(-3, 2)
        assert file.read() == b"789"


def test_get_is_verified(ref: ObjectRef, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = ref.get()
    assert bytes(payload.data) == b"0123456789"
    assert isinstance(ref.store, MemoryStore)
    damaged = {"a/data.bin": (b"012345678X", payload.info)}
    monkeypatch.setattr(ref.store._space, "objects", damaged)
    with pytest.raises(IntegrityError):
        ref.get()


def test_a_deleted_object(ref: ObjectRef) -> None:
    ref.store.delete(["a/data.bin"])
    with pytest.raises(ObjectNotFoundError, match=ref.uri):
        ref.get()
    with pytest.raises(ObjectNotFoundError, match=ref.uri):
        ref.open()


def test_equal_if_they_describe_one_version(ref: ObjectRef) -> None:
    again = ObjectRef(ref.info, MemoryStore("test_references"))
    assert again == ref
    assert hash(again) == hash(ref)
    assert ObjectRef(replace(ref.info, etag="other"), ref.store) != ref


def test_its_repr_has_no_store(ref: ObjectRef) -> None:
    assert ref.uri in repr(ref)
    assert "MemoryStore" not in repr(ref)


def test_it_can_be_pickled(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    ref = ObjectRef(store.put("x.bin", Body.of(b"hello")), store)
    again = pickle.loads(pickle.dumps(ref))  # noqa: S301
    assert again == ref
    assert bytes(again.get().data) == b"hello"
