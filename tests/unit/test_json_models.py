from __future__ import annotations

import dataclasses
import enum
import math
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Optional

import msgspec
import numpy as np
import pydantic
import pytest
from dagster_buckets.errors import DecodeError, EncodeError, FormatError, UnsupportedTypeError
from dagster_buckets.formats.json import JSONFormat
from dagster_buckets.objects import Body
from dagster_buckets.plugins import format_for_type
from dagster_buckets.testing.formats import payload_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass as pydantic_dataclass

JSON = JSONFormat()


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


@dataclasses.dataclass
class Inner:
    n: int
    tags: tuple[str, ...] = ()


@dataclasses.dataclass
class Point:
    """Fields of every type that JSON has not."""

    name: str
    x: float
    at: datetime
    day: date
    clock: time
    took: timedelta
    price: Decimal
    key: uuid.UUID
    color: Color
    raw: bytes
    pair: tuple[int, str]
    unique: set[int]
    frozen: frozenset[str]
    by_number: dict[int, str]
    inner: Inner
    more: list[Inner]
    maybe: Optional[Inner]  # noqa: UP045
    either: int | str | None


class Model(pydantic.BaseModel):
    n: int
    label: str = pydantic.Field(default="", alias="theLabel")
    inner: Inner | None = None

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> int:
        return self.n * 2


@pydantic_dataclass
class Checked:
    n: int
    at: date = date(2024, 1, 1)


class Record(msgspec.Struct):
    n: int
    at: datetime | None = None
    raw: bytes = b""
    inner: Inner | None = None
    by_number: dict[int, str] = msgspec.field(default_factory=dict)


NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
MODELS: list[Any] = [
    Inner(1, ("a", "b")),
    Model(n=1, theLabel="x", inner=Inner(2)),
    Checked(3),
    Record(4, NOON, b"\xff\0", Inner(5), {1: "a"}),
]


def stored(value: Any) -> Any:
    return payload_of(JSON.encode(value))


def there_and_back(value: Any, annotation: Any) -> Any:
    return JSON.decode(stored(value), annotation)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_models_come_back_where_they_are_asked_for(model: Any) -> None:
    cls: Any = type(model)
    shapes: list[tuple[Any, Any]] = [
        (model, cls),
        ([model, model], list[cls]),
        ({"a": model}, dict[str, cls]),
        ({"a": [model], "b": []}, dict[str, list[cls]]),
        ([{"a": model}], list[dict[str, cls]]),
        (model, Optional[cls]),  # noqa: UP045
        ([None, model], list[cls | None]),
        ([], list[cls]),
        ({}, dict[str, cls]),
        (None, Optional[cls]),  # noqa: UP045
        (None, cls),
    ]
    for value, annotation in shapes:
        assert JSON.can_structure(annotation)
        found = there_and_back(value, annotation)
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_auto_picks_json_for_models(model: Any) -> None:
    cls: Any = type(model)
    found = format_for_type(cls)
    assert found is not None
    assert found.name == "json"


def test_no_array_or_frame_looks_like_a_model() -> None:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    for cls in (pd.DataFrame, pd.Series, pl.DataFrame, pl.LazyFrame, pa.Table, np.ndarray):
        assert not any(hasattr(cls, claim) for claim in JSON.claims)


def test_without_an_annotation_they_are_plain() -> None:
    assert JSON.decode(stored([Inner(1, ("a",))]), None) == [{"n": 1, "tags": ["a"]}]
    assert JSON.decode(stored(Inner(1)), dict) == {"n": 1, "tags": []}


def test_models_among_plain_values() -> None:
    value = {"a": 1, "b": [Inner(1), {"c": Record(2)}], "ü": "ü"}
    found = JSON.decode(stored(value), None)
    assert found["b"][0] == {"n": 1, "tags": []}
    assert found["b"][1]["c"]["n"] == 2
    assert found["ü"] == "ü"


def test_aliases_and_computed_fields() -> None:
    assert JSON.decode(stored(Model(n=2, theLabel="x")), None) == {
        "n": 2,
        "theLabel": "x",
        "inner": None,
    }


aware = st.datetimes(
    timezones=st.just(UTC) | st.integers(-23, 23).map(lambda h: timezone(timedelta(hours=h)))
)
inner = st.builds(Inner, st.integers(-(2**60), 2**60), st.lists(st.text(max_size=3)).map(tuple))


@settings(max_examples=150)
@given(
    st.builds(
        Point,
        at=aware,
        x=st.floats(),
        price=st.decimals(allow_nan=False, allow_infinity=False),
        took=st.timedeltas(timedelta(-10_000), timedelta(10_000)),
        raw=st.text(max_size=5).map(str.encode),
        inner=inner,
        more=st.lists(inner, max_size=2),
        maybe=st.none() | inner,
        either=st.none() | st.integers(-(2**60), 2**60) | st.text(max_size=3),
        by_number=st.dictionaries(st.integers(-(2**60), 2**60), st.text(max_size=3), max_size=3),
        unique=st.sets(st.integers(-(2**60), 2**60), max_size=3),
    )
)
def test_any_dataclass_comes_back(point: Point) -> None:
    found = there_and_back([point], list[Point])[0]
    if math.isnan(point.x):
        assert math.isnan(found.x)
        found.x = point.x = 0.0
    assert found == point
    assert found.at.utcoffset() == point.at.utcoffset()


@dataclasses.dataclass
class Loose:
    value: Any


@dataclasses.dataclass
class Ignoring:
    n: int
    note: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass
class Derived(Inner):
    extra: int = 0


@dataclasses.dataclass
class Holder:
    inner: Inner


class Private(pydantic.BaseModel):
    n: int
    _seen: int = pydantic.PrivateAttr(default=0)


class Excluding(pydantic.BaseModel):
    n: int
    hidden: int = pydantic.Field(default=0, exclude=True)


class Named(enum.StrEnum):
    A = "a"


@dataclasses.dataclass
class Text:
    text: str
    number: float = 0.0


def private(seen: int) -> Private:
    model = Private(n=1)
    model._seen = seen
    return model


@dataclasses.dataclass
class Failing:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise KeyError(self.n)


def circular() -> Loose:
    value = Loose(None)
    value.value = value
    return value


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (Loose((1, 2)), "$.value"),
        (Loose({1}), "$.value"),
        (Loose({1: 2}), "$.value"),
        (Loose(b"x"), "$.value"),
        (Loose(NOON), "$.value"),
        (Loose([1, {"a": (1,)}]), r"$.value[1]['a']"),
        (Ignoring(1, {2}), "$.note"),
        (Holder(Derived(1, (), 5)), "$.inner"),
        ([{"a": Holder(Derived(1))}], "$[0].a.inner"),
        (private(3), "$._seen"),
        (Excluding(n=1, hidden=2), "$.hidden"),
        (Text(Named.A), "$.text"),
        (Text(5), "text"),  # type: ignore[arg-type]
        (Text("\ud800"), "$"),
        (Text("x", number=True), "number"),
        (Inner("1"), "n"),  # type: ignore[arg-type]
        (Inner(1, ["a"]), "$.tags"),  # type: ignore[arg-type]
        (Record(1.5), "n"),  # type: ignore[arg-type]
        (Point.__new__(Point), "$"),
        (circular(), "$"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_would_change_is_refused_and_named(value: Any, field: str) -> None:
    with pytest.raises(EncodeError) as caught:
        JSON.encode(value)
    assert field in caught.value.message
    assert "format='pickle'" in str(caught.value.hint)


def test_a_private_attribute_with_its_default_is_no_change() -> None:
    assert there_and_back(private(0), Private) == private(0)


def test_an_int_in_a_field_of_floats_is_equal() -> None:
    assert there_and_back(Text("x", 1), Text) == Text("x", 1.0)


def test_nan_equals_nan() -> None:
    assert math.isnan(there_and_back(Text("x", math.nan), Text).number)
    assert there_and_back(Text("x", -math.inf), Text) == Text("x", -math.inf)


@dataclasses.dataclass
class Foreign:
    array: np.ndarray[Any, Any]


class ForeignRecord(msgspec.Struct):
    array: np.ndarray[Any, Any]


@pytest.mark.parametrize("value", [Foreign(np.zeros(1)), ForeignRecord(np.zeros(1))], ids=repr)
def test_fields_of_unknown_types_are_refused(value: Any) -> None:
    with pytest.raises(FormatError) as caught:
        JSON.encode(value)
    assert caught.value.hint
    with pytest.raises(FormatError):
        JSON.decode(payload_of(Body.of(b'{"array": [1]}')), type(value))


@pytest.mark.parametrize(
    ("text", "annotation", "expected"),
    [
        (b"{}", Inner, ["$.n", "required"]),
        (b'{"n": "1"}', Inner, ["$.n", "integer", "found '1'"]),
        (b'[{"n": 1}, {"n": 1, "tags": [2]}]', list[Inner], ["$[1].tags[0]", "string", "found 2"]),
        (b'{"a": {}}', dict[str, Inner], ["$.a.n", "required"]),
        (b"[]", Inner, ["object", "found []"]),
        (b"{}", list[Inner], ["list", "found {}"]),
        (b'{"n": "1"}', Record, ["int", "str", "$.n"]),
        (b'[{"n": 1}, {}]', list[Record], ["$[1]", "`n`"]),
        (b'{"n": -1}', Failing, ["KeyError"]),
        (b"{", Inner, ["not valid JSON"]),
        (b"{", Record, ["not valid JSON"]),
        (b"[" * 200_000, list[Inner], ["not valid JSON"]),
        (b"[" * 200_000, list[Record], ["not valid JSON"]),
        (b"[" + b"1," * 100_001 + b"1]", list[Inner], ["100,002 values"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_does_not_fit_is_named(text: bytes, annotation: Any, expected: list[str]) -> None:
    with pytest.raises(DecodeError) as caught:
        JSON.decode(payload_of(Body.of(text)), annotation)
    for part in ["memory://conformance/asset/data", *expected]:
        assert part in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    "annotation",
    [
        None, Any, int, dict, list, list[int], dict[str, int], dict[str, Any], dict[int, Inner],
        tuple[Inner, ...], set[Inner], Inner | Record, type[Inner], "Inner", np.ndarray,
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_structure(annotation: Any) -> None:
    assert not JSON.can_structure(annotation)


def test_another_class_is_still_refused() -> None:
    with pytest.raises(UnsupportedTypeError):
        JSON.decode(stored(Inner(1)), bytes)
