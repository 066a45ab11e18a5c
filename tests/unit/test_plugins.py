from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from dagster_buckets import plugins
from dagster_buckets.errors import (
    ConfigurationError,
    MissingDependencyError,
    PluginConflictError,
    UnknownPluginError,
    UnsupportedTypeError,
)
from dagster_buckets.plugins import check_name, format_for_type, get_format, get_layout, names

CACHED = (
    "_registry",
    "get_format",
    "get_layout",
    "get_store_class",
    "format_for_type",
    "format_by_extension",
)


@dataclass
class Distribution:
    """Stands for an installed distribution; entry points are compared by its name."""

    name: str


class Own:
    """A class that no built-in format knows."""


class OwnChild(Own):
    pass


class FakeFormat:
    name = "fake"
    extension = "fake"
    media_type = "application/fake"
    claims: tuple[str, ...] = ()

    def encode(self, value: Any) -> Any: ...
    def decode(self, payload: Any, as_type: Any) -> Any: ...


Install = Callable[..., None]


def clear() -> None:
    for name in CACHED:
        getattr(plugins, name).cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Adds entry points to those that are installed: ``name, target, distribution``."""
    module = ModuleType("plugin_under_test")
    monkeypatch.setitem(sys.modules, "plugin_under_test", module)
    added: list[EntryPoint] = []
    real = importlib.metadata.entry_points

    def entry_points(group: str) -> EntryPoints:
        return EntryPoints([*real(group=group), *(p for p in added if p.group == group)])

    def install(name: str, target: Any, owner: str = "other-dist", kind: str = "formats") -> None:
        if not isinstance(target, str):
            setattr(module, target.__name__, target)
            target = f"plugin_under_test:{target.__name__}"
        point = EntryPoint(name, target, f"dagster_buckets.{kind}")
        vars(point)["dist"] = Distribution(owner)
        added.append(point)
        clear()

    monkeypatch.setattr(plugins, "entry_points", entry_points)
    clear()
    yield install
    monkeypatch.undo()
    clear()


def claiming(name: str, *claims: str) -> type:
    fields = {"name": name, "extension": name, "claims": claims}
    return type(f"{name.title()}Format", (FakeFormat,), fields)


@pytest.mark.parametrize(
    ("kind", "get"), [("formats", get_format), ("layouts", get_layout)], ids=["format", "layout"]
)
def test_an_unknown_name_lists_what_is_installed(kind: Any, get: Callable[[str], object]) -> None:
    for attempt in (get, partial(check_name, kind)):
        with pytest.raises(UnknownPluginError) as caught:
            attempt("parquett")
        assert "'parquett'" in str(caught.value)
        assert kind.removesuffix("s") in str(caught.value)
        assert all(name in str(caught.value) for name in names(kind))
        assert caught.value.hint


def test_a_plugin_is_found_by_existing(install: Install) -> None:
    install("fake", FakeFormat)
    assert "fake" in names("formats")
    assert get_format("fake").extension == "fake"
    assert plugins.format_by_extension("fake") == (get_format("fake"), None)
    assert plugins.format_by_extension("fak") is None


def test_two_distributions_that_claim_one_name_are_both_named(install: Install) -> None:
    install("parquet", FakeFormat, "rogue-dist")
    for attempt in (lambda: get_format("parquet"), lambda: check_name("formats", "parquet")):
        with pytest.raises(PluginConflictError) as caught:
            attempt()
        assert "dagster-buckets-core and rogue-dist" in str(caught.value)
        assert "'parquet'" in str(caught.value)
    # The other formats still work.
    assert get_format("json").name == "json"


def test_an_entry_point_listed_twice_is_no_conflict(install: Install) -> None:
    for _ in range(2):
        install("fake", FakeFormat)
    assert get_format("fake").name == "fake"


def test_a_missing_dependency_prints_the_pip_line(install: Install) -> None:
    install("fake", "surely_not_installed.sub:X", "nice-dist")
    with pytest.raises(MissingDependencyError) as caught:
        get_format("fake")
    assert "'fake'" in str(caught.value)
    assert "pip install nice-dist surely_not_installed" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    # It stands in the way of nobody who does not name it.
    found = format_for_type(str)
    assert found is not None
    assert found.name == "text"


def test_nothing_is_loaded_to_check_a_name(install: Install) -> None:
    install("fake", "surely_not_installed:X")
    check_name("formats", "fake")
    assert "fake" in names("formats")


@pytest.mark.parametrize("failure", ["attribute", "import"])
def test_a_plugin_that_does_not_import(
    install: Install, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    def broken(self: EntryPoint) -> Any:
        raise RuntimeError

    install("fake", "plugin_under_test:Absent", "broken-dist")
    if failure == "import":
        monkeypatch.setattr(EntryPoint, "load", broken)
    with pytest.raises(ConfigurationError, match="broken-dist does not import") as caught:
        get_format("fake")
    assert "plugin_under_test:Absent" in str(caught.value)
    assert "upgrade or uninstall broken-dist" in str(caught.value)


def test_a_plugin_that_is_no_format(install: Install) -> None:
    install("fake", Own, "wrong-dist")
    with pytest.raises(ConfigurationError, match="wrong-dist is not a Format"):
        get_format("fake")


def test_a_class_claimed_twice(install: Install) -> None:
    claim = f"{Own.__module__}.{Own.__qualname__}"
    install("one", claiming("one", claim))
    install("two", claiming("two", claim))
    for cls in (Own, OwnChild):
        with pytest.raises(PluginConflictError, match="'one' and 'two' both claim") as caught:
            format_for_type(cls)
        assert claim in str(caught.value)
        assert caught.value.hint


def test_a_special_attribute_claimed_twice(install: Install) -> None:
    class Streams:
        def __arrow_c_stream__(self) -> None: ...

    install("one", claiming("one", "__arrow_c_stream__"))
    with pytest.raises(PluginConflictError, match="'one' and 'parquet' both claim"):
        format_for_type(Streams)


def test_the_nearest_class_wins(install: Install) -> None:
    module = Own.__module__
    install("parent", claiming("parent", f"{module}.Own"))
    found = format_for_type(OwnChild)
    assert found is not None
    assert found.name == "parent"
    install("child", claiming("child", f"{module}.OwnChild"))
    found = format_for_type(OwnChild)
    assert found is not None
    assert found.name == "child"


def test_a_class_comes_before_a_special_attribute(install: Install) -> None:
    class Streams(Own):
        def __arrow_c_stream__(self) -> None: ...

    assert format_for_type(Streams) is get_format("parquet")
    install("fake", claiming("fake", f"{Own.__module__}.Own"))
    assert format_for_type(Streams) is get_format("fake")


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (pd.DataFrame, "parquet"), (pl.DataFrame, "parquet"), (pa.Table, "parquet"),
        (pa.RecordBatch, "parquet"), (dict, "json"), (list, "json"), (int, "json"),
        (float, "json"), (bool, "json"), (type(None), "json"), (str, "text"), (bytes, "bytes"),
        (bytearray, "bytes"), (memoryview, "bytes"), (set, None), (tuple, None), (object, None),
        (Own, None),
    ],
)  # fmt: skip
def test_auto(cls: type, name: str | None) -> None:
    found = format_for_type(cls)
    assert (found.name if found else None) == name


def test_pickle_is_never_chosen_and_the_error_says_how_to_name_it() -> None:
    error = plugins.refuse_type(Own)
    assert isinstance(error, UnsupportedTypeError)
    assert f"{Own.__module__}.Own" in str(error)
    assert "pickle" in (error.hint or "")
