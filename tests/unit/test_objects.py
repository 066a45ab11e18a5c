from __future__ import annotations

from datetime import UTC, datetime

import pytest
from dagster_buckets.address import AssetAddress, label_of
from dagster_buckets.errors import IntegrityError
from dagster_buckets.objects import Body, Header, ObjectInfo, Payload, Tail, digest_of
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.none() | st.text("abc-:0", min_size=1)
TAILS = st.none() | st.builds(Tail, st.integers(0, 2**60), st.text("abc-:0", min_size=1))
HEADERS = st.builds(Header, TEXT, TEXT, st.none() | st.integers(0, 2**60), TEXT, TEXT, TEXT, TAILS)


def payload(data: bytes, header: Header | None, size: int | None = None) -> Payload:
    info = ObjectInfo(
        "k", "s3://b/k", len(data) if size is None else size, "e", datetime.now(UTC), header
    )
    return Payload(data, info)


@given(HEADERS)
def test_attributes_round_trip(header: Header) -> None:
    attributes = header.to_attributes()
    expected = None if header == Header() else header
    assert Header.from_attributes(attributes) == expected
    # HTTP stores answer with names in any case, and with names of others.
    shouted = {name.upper(): value for name, value in attributes.items()} | {"other": "x"}
    assert Header.from_attributes(shouted) == expected


def test_attributes_fit_into_user_metadata() -> None:
    address = label_of(AssetAddress.of(["x" * 900], "x" * 40))
    assert len(address) > 950
    header = Body.of(b"x").seal(Header(format="f" * 40, address=address))
    attributes = header.to_attributes()
    assert set(attributes) == {
        "dagster-buckets-format",
        "dagster-buckets-address",
        "dagster-buckets-size",
        "dagster-buckets-digest",
        "dagster-buckets-write-id",
    }
    assert all((name + value).isascii() for name, value in attributes.items())
    assert sum(len(name + value) for name, value in attributes.items()) < 1400


@pytest.mark.parametrize("attributes", [None, {}, {"size": "3"}, {"x-dagster-buckets-size": "3"}])
def test_objects_of_others_have_no_header(attributes: dict[str, str] | None) -> None:
    assert Header.from_attributes(attributes) is None


def test_a_damaged_size_is_unknown() -> None:
    found = Header.from_attributes({"dagster-buckets-size": "-3", "dagster-buckets-format": "x"})
    assert found == Header(format="x")


def test_digest_is_of_the_bytes_not_of_the_buffers() -> None:
    assert digest_of([b"ab", bytearray(b"c"), memoryview(b"")]) == digest_of([b"abc"])
    assert digest_of([b"abc"]) != digest_of([b"abd"])
    # Stored beside every object, so it must never change.
    assert digest_of([b"abc"]) == "xxh3-128:06b05ab6733a618578af5f94892f3950"


def test_body_of_buffers() -> None:
    body = Body.of(b"ab", memoryview(b"cd"))
    assert body.size == 4
    assert list(body) == [b"ab", b"cd"]
    assert bytes(body.joined()) == b"abcd"
    assert Body.of().joined() == b""
    one = bytearray(b"x")
    assert Body.of(one).joined() is one


def test_size_is_in_bytes() -> None:
    import array

    assert Body.of(memoryview(array.array("d", [1.0, 2.0]))).size == 16


def test_body_of_a_stream() -> None:
    body = Body(iter([b"ab", b"cd"]))
    assert body.held is None
    assert body.size is None
    sealed = body.seal(Header(format="x"))
    assert (sealed.size, sealed.digest, sealed.format) == (None, None, "x")
    assert sealed.write_id
    assert body.joined() == b"abcd"


def test_seal() -> None:
    body = Body.of(b"abc")
    first, second = body.seal(Header(format="x", write_id="old")), body.seal()
    assert (first.format, first.size, first.digest) == ("x", 3, digest_of([b"abc"]))
    assert len({first.write_id, second.write_id, "old"}) == 3


@pytest.mark.parametrize(
    "header",
    [
        None,
        Header(),
        Header(size=3),
        Header(digest=digest_of([b"abc"])),
        Header(digest="sha256:unknown"),
    ],
)
def test_verify_accepts(header: Header | None) -> None:
    whole = payload(b"abc", header)
    assert whole.verify() is whole


@pytest.mark.parametrize(
    ("data", "header", "size", "text"),
    [
        (b"ab", None, 3, "came as 2 bytes instead of 3"),
        (b"abc", Header(size=4), 3, "came as 3 bytes instead of 3 or 4"),
        (b"abd", Header(size=3, digest=digest_of([b"abc"])), 3, "has the digest"),
    ],
)
def test_verify_refuses(data: bytes, header: Header | None, size: int, text: str) -> None:
    with pytest.raises(IntegrityError, match=text) as caught:
        payload(data, header, size).verify()
    assert "s3://b/k" in str(caught.value)
    assert "materialize it again" in str(caught.value)
