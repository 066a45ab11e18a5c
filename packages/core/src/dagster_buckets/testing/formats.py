"""What every format must do: subclass :class:`FormatConformance` and give it samples."""

# The fixture is called what it gives.
# ruff: noqa: A002
from __future__ import annotations

import copy
import io
import random
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dagster_buckets.errors import DecodeError, FormatError, UnsupportedTypeError
from dagster_buckets.formats.base import (
    Description,
    Format,
    Part,
    SupportsConcat,
    SupportsDescribe,
    SupportsFirstRows,
    SupportsStructures,
)
from dagster_buckets.objects import Body, ObjectInfo, Payload
from dagster_buckets.plugins import get_format, names
from dagster_buckets.references import ObjectRef
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.testing.scans import ScanPromises, rows_of, scan_classes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FormatConformance", "FormatSamples", "assert_same", "payload_of"]

_URI = "memory://conformance/asset/data"


@dataclass(frozen=True)
class FormatSamples:
    """What a format is tested with.

    Attributes:
        values: What comes back exactly, with its type; at least one.
        refused: What the format must not write.
        damaged: Bytes that are not in this format.
        conversions: ``(value, as_type, expected)``: the value, loaded as this class.
    """

    values: Sequence[Any]
    refused: Sequence[Any] = ()
    damaged: Sequence[bytes] = ()
    conversions: Sequence[tuple[Any, type, Any]] = ()


class FormatConformance(ScanPromises):
    """The promises of :class:`~dagster_buckets.formats.base.Format`, each a test.

    Give the fixtures ``format`` and ``samples``. A promise that a format cannot keep is overridden
    with a strict ``xfail`` that says why.
    """

    @pytest.fixture
    def format(self) -> Format:
        """The format under test."""
        raise NotImplementedError

    @pytest.fixture
    def samples(self) -> FormatSamples:
        """What to test it with."""
        raise NotImplementedError

    @pytest.fixture
    def values(self, samples: FormatSamples) -> Sequence[Any]:
        """Values that must come back exactly."""
        return samples.values

    @pytest.fixture
    def refused(self, samples: FormatSamples) -> Sequence[Any]:
        """Values that must not be written."""
        return samples.refused

    # -- what it is called ---------------------------------------------------------------------

    def test_is_a_format(self, format: Format) -> None:
        assert isinstance(format, Format)

    def test_names_are_sane(self, format: Format) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", format.name)
        assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", format.extension)
        assert re.fullmatch(r"[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9-]+)*", format.media_type)

    def test_names_are_unique(self, format: Format) -> None:
        others = [get_format(name) for name in names("formats") if name != format.name]
        assert format.extension not in {other.extension for other in others}
        claimed = {claim for other in others for claim in other.claims}
        assert not claimed & set(format.claims)

    def test_claims_are_qualified_or_special(self, format: Format) -> None:
        for claim in format.claims:
            assert re.fullmatch(r"__\w+__|[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", claim), claim

    # -- there and back ------------------------------------------------------------------------

    def test_round_trip(self, format: Format, values: Sequence[Any]) -> None:
        assert values
        for value in values:
            loaded = format.decode(payload_of(format.encode(value)), None)
            assert_same(loaded, value)

    def test_round_trip_as_the_same_class(self, format: Format, values: Sequence[Any]) -> None:
        for value in values:
            loaded = format.decode(payload_of(format.encode(value)), type(value))
            assert_same(loaded, value)

    def test_any_buffer_is_read(self, format: Format, values: Sequence[Any]) -> None:
        body = format.encode(values[0])
        data = bytes(body.joined())
        info = payload_of(replace(body, buffers=(data,))).info
        for buffer in (data, bytearray(data), memoryview(data)):
            loaded = format.decode(Payload(buffer, info), None)
            assert_same(loaded, values[0])

    def test_conversions(self, format: Format, samples: FormatSamples) -> None:
        for value, as_type, expected in samples.conversions:
            loaded = format.decode(payload_of(format.encode(value)), as_type)
            assert isinstance(loaded, as_type)
            assert_same(loaded, expected)

    def test_values_are_not_modified(self, format: Format, values: Sequence[Any]) -> None:
        for value in values:
            before = copy.deepcopy(value)
            payload_of(format.encode(value))
            assert_same(value, before)

    def test_encoded_values_do_not_share_memory(
        self, format: Format, values: Sequence[Any]
    ) -> None:
        bodies = [format.encode(value) for value in values]
        for body, value in zip(bodies, values, strict=True):
            assert_same(format.decode(payload_of(body), None), value)

    def test_decoding_leaves_the_bytes_alone(self, format: Format, values: Sequence[Any]) -> None:
        for value in values:
            payload = payload_of(format.encode(value))
            before = bytes(payload.data)
            format.decode(payload, None)
            assert bytes(payload.data) == before
            assert_same(format.decode(payload, None), value)

    def test_a_body_can_be_sent_again(self, format: Format, values: Sequence[Any]) -> None:
        for value in values:
            body = format.encode(value)
            if body.held is not None:
                assert b"".join(body) == b"".join(body)

    # -- what does not fit ---------------------------------------------------------------------

    def test_refused_values(self, format: Format, refused: Sequence[Any]) -> None:
        for value in refused:
            with pytest.raises(FormatError) as caught:
                payload_of(format.encode(value))
            assert caught.value.hint, caught.value

    def test_a_class_that_it_cannot_give(self, format: Format, values: Sequence[Any]) -> None:
        for value in values:
            if value is None:
                # A stored None is one, whatever is asked for.
                assert format.decode(payload_of(format.encode(value)), _Foreign) is None
                continue
            with pytest.raises(UnsupportedTypeError) as caught:
                format.decode(payload_of(format.encode(value)), _Foreign)
            assert caught.value.hint
            assert caught.value.uri == _URI

    def test_damaged_bytes(self, format: Format, samples: FormatSamples) -> None:
        for data in samples.damaged:
            with pytest.raises(DecodeError) as caught:
                format.decode(payload_of(Body.of(data)), None)
            assert _URI in str(caught.value)
            assert caught.value.hint

    def test_truncated_bytes(self, format: Format, values: Sequence[Any]) -> None:
        for value in values:
            data = bytes(format.encode(value).joined())
            for end in sorted({0, 1, *range(0, len(data), max(1, len(data) // 60))}):
                _decode_or_refuse(format, data[:end])

    def test_random_bytes(self, format: Format) -> None:
        chance = random.Random(20_260_101)  # noqa: S311 - repeatable, not secret
        for size in (0, 1, 2, 7, 8, 12, 64, 500, 4096):
            for _ in range(20):
                _decode_or_refuse(format, chance.randbytes(size))

    # -- powers --------------------------------------------------------------------------------

    def test_describe(self, format: Format, values: Sequence[Any]) -> None:
        if not isinstance(format, SupportsDescribe):
            return
        import pyarrow as pa

        for value in values:
            payload = payload_of(format.encode(value))
            description = format.describe(io.BytesIO(payload.data))
            assert isinstance(description, Description)
            table = format.decode(payload, pa.Table)
            assert description.rows == table.num_rows
            assert description.columns is not None
            found = [(column.name, column.type, column.nullable) for column in description.columns]
            assert found == [(f.name, str(f.type), f.nullable) for f in table.schema]

    def test_first_rows(self, format: Format, values: Sequence[Any]) -> None:
        if not isinstance(format, SupportsFirstRows):
            return
        import pyarrow as pa

        store = MemoryStore(uuid.uuid4().hex)
        for value in values:
            ref = ObjectRef(store.put("a", format.encode(value)), store)
            table = format.decode(ref.get(), pa.Table)
            for count in (0, 1, 2, table.num_rows + 1):
                first = format.first_rows(ref, count)
                assert first.table.equals(table.slice(0, count))
                assert first.total in (None, table.num_rows)

    def test_concat_says_what_it_joins(self, format: Format) -> None:
        if isinstance(format, SupportsConcat):
            assert not format.can_concat(_Foreign)

    def test_structures_are_no_plain_classes(self, format: Format) -> None:
        if isinstance(format, SupportsStructures):
            plain = (None, Any, _Foreign, dict, list, list[Any], dict[str, int], list[_Foreign])
            assert not any(format.can_structure(annotation) for annotation in plain)

    def test_concat_keeps_order_and_promotes(self, format: Format) -> None:
        import pyarrow as pa

        if not _joins_tables(format):
            return
        assert isinstance(format, SupportsConcat)
        parts = [
            pa.table({"k": ["b", "a"], "n": pa.array([1, 2], pa.int64())}),
            pa.table({"k": ["c"], "n": pa.array([0.5], pa.float64())}),
            pa.table({"n": pa.nulls(1), "k": ["d"]}),
            pa.table({"k": ["e"], "n": pa.array([3], pa.int64()), "more": [True]}),
        ]
        joined = format.concat(_parts(format, parts), pa.Table)
        assert joined.to_pydict() == {
            "k": ["b", "a", "c", "d", "e"],
            "n": [1.0, 2.0, 0.5, None, 3.0],
            "more": [None, None, None, None, True],
        }

    def test_concat_promotes_small_integers(self, format: Format) -> None:
        import pyarrow as pa

        if not _joins_tables(format):
            return
        assert isinstance(format, SupportsConcat)
        parts = [pa.table({"n": pa.array([1], pa.int8())}), pa.table({"n": [0.5]})]
        joined = format.concat(_parts(format, parts), pa.Table)
        assert joined.to_pydict() == {"n": [1.0, 0.5]}

    def test_concat_of_one(self, format: Format) -> None:
        import pyarrow as pa

        if not _joins_tables(format):
            return
        assert isinstance(format, SupportsConcat)
        table = pa.table({"n": [1, 2]})
        assert format.concat(_parts(format, [table]), pa.Table).equals(table)

    def test_concat_adds_constant_columns(self, format: Format) -> None:
        import pyarrow as pa

        if not _joins_tables(format):
            return
        assert isinstance(format, SupportsConcat)
        parts = _parts(format, [pa.table({"n": [1, 2]}), pa.table({"n": [3], "more": [True]})])
        columns = [{"day": "001", "city": ""}, {"day": "2", "city": "é"}]
        joined = format.concat(parts, pa.Table, columns)
        assert joined.schema.names == ["n", "more", "day", "city"]
        assert joined.schema.types[2:] == [pa.string(), pa.string()]
        assert joined.column("day").to_pylist() == ["001", "001", "2"]
        assert joined.column("city").to_pylist() == ["", "", "é"]
        assert format.concat(parts[:1], pa.Table, columns[:1]).num_rows == 2

    def test_concat_adds_no_column_twice(self, format: Format) -> None:
        import pyarrow as pa

        if not _joins_tables(format):
            return
        assert isinstance(format, SupportsConcat)
        parts = _parts(format, [pa.table({"n": [1]}), pa.table({"n": [1], "odd one": ["x"]})])
        with pytest.raises(DecodeError) as caught:
            format.concat(parts, pa.Table, [{"odd one": "1"}, {"odd one": "2"}])
        assert "odd one" in str(caught.value)
        assert f"{_URI}/1" in str(caught.value)
        assert "dagster_buckets/partition_name" in str(caught.value.hint)

    def test_concat_of_what_does_not_fit(self, format: Format) -> None:
        import pyarrow as pa

        if not _joins_tables(format):
            return
        assert isinstance(format, SupportsConcat)
        parts = [
            pa.table({"odd one": [1]}),
            pa.table({"odd one": [2]}),
            pa.table({"odd one": ["x"]}),
        ]
        with pytest.raises(DecodeError) as caught:
            format.concat(_parts(format, parts), pa.Table)
        assert "odd one" in str(caught.value)
        assert f"{_URI}/2" in str(caught.value)
        assert caught.value.hint

    def test_lazy_classes_of_what_is_read_whole(self, format: Format) -> None:
        import pyarrow as pa

        if not _joins_tables(format):
            return
        assert isinstance(format, SupportsConcat)
        parts = _parts(format, [pa.table({"n": [1, 2], "s": ["a", "b"]}), pa.table({"n": [3]})])
        columns = [{"day": "x"}, {"day": "y"}]
        expected = [
            {"n": 1, "s": "a", "day": "x"},
            {"n": 2, "s": "b", "day": "x"},
            {"n": 3, "s": None, "day": "y"},
        ]
        for cls in scan_classes():
            if format.can_concat(cls):
                scan = format.concat(parts, cls, columns)
                assert isinstance(scan, cls)
                assert rows_of(scan) == expected

    def test_part_of_damaged_bytes(self, format: Format) -> None:
        if not isinstance(format, SupportsConcat):
            return
        with pytest.raises(DecodeError) as caught:
            format.part(payload_of(Body.of(b"damaged"), f"{_URI}/1"))
        assert f"{_URI}/1" in str(caught.value)


class _Foreign:
    """A class that no format knows."""


def payload_of(body: Body, uri: str = _URI) -> Payload:
    """What a store would give back for this body."""
    data = b"".join(body)
    info = ObjectInfo("asset/data", uri, len(data), "1", datetime.now(UTC), body.seal())
    return Payload(data, info)


def assert_same(left: Any, right: Any) -> None:
    """Assert that two values are equal and of one type.

    Frames with their index and column types; files with their names and what is in them.
    """
    assert type(left) is type(right)
    if isinstance(left, dict) and any(type(v).__module__ == "numpy" for v in left.values()):
        assert left.keys() == right.keys()
        for name, item in left.items():
            assert_same(item, right[name])
        return
    module = type(left).__module__.partition(".")[0]
    if module == "pandas":
        from pandas.testing import assert_frame_equal

        assert_frame_equal(left, right)
    elif module == "polars":
        assert left.schema == right.schema
        assert left.equals(right)
    elif module == "pyarrow":
        assert left.schema.equals(right.schema)
        assert left.equals(right)
    elif module == "numpy":
        import numpy as np

        np.testing.assert_array_equal(left, right, strict=True)
        # The byte order is not compared by the line above.
        assert left.dtype == right.dtype
    elif isinstance(left, Path):
        assert left.name == right.name
        assert left.read_bytes() == right.read_bytes()
    else:
        assert left == right
        assert repr(left) == repr(right)


def _decode_or_refuse(format: Format, data: bytes) -> None:
    # Some formats hold any bytes (and some begin of a text is a text): then there is a value.
    try:
        format.decode(payload_of(Body.of(data)), None)
    except DecodeError as error:
        assert _URI in str(error)  # noqa: PT017 - no error is fine, too


def _joins_tables(format: Format) -> bool:
    import pyarrow as pa

    return isinstance(format, SupportsConcat) and format.can_concat(pa.Table)


def _parts(format: Format, tables: Sequence[pa.Table]) -> list[Part]:
    assert isinstance(format, SupportsConcat)
    payloads = [payload_of(format.encode(t), f"{_URI}/{i}") for i, t in enumerate(tables)]
    return [format.part(payload) for payload in payloads]
