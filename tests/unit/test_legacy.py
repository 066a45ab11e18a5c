from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import ConfigurationError, InvalidKeyError, ObjectNotFoundError
from dagster_buckets.layouts import HiveLayout, LayoutSpec, LegacyLayout
from dagster_buckets.layouts.legacy import Dialect
from dagster_buckets.objects import Body, Header, ObjectInfo
from dagster_buckets.plugins import get_layout
from dagster_buckets.reading import Reader
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.values import ValueStore

asset = AssetAddress.of
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
PICKLED_WITHOUT = [dialect for dialect in DIALECTS if dialect != "polars"]
FILES: list[Dialect] = ["filesystem", "polars"]
BLOBS: list[Dialect] = ["gcs", "adls"]


# -- keys --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("address", "stem"),
    [
        (asset(["a"]), "a"),
        (asset(["a", "b", "c"]), "a/b/c"),
        (asset(["a.b"]), "a.b"),
        (asset([".a"]), ".a"),
        (asset(["a b", "é=%"]), "a b/é=%"),
        (asset(["a", "%2Fb"]), "a/%2Fb"),
        (asset(["a"], "2024-01-01"), "a/2024-01-01"),
        (asset(["a"], "2024-01-01-00:00"), "a/2024-01-01-00:00"),
        (asset(["a"], "1.5"), "a/1.5"),
        (asset(["a"], ".hidden"), "a/.hidden"),
        (asset(["a"], "..."), "a/..."),
        (asset(["a"], "a..b"), "a/a..b"),
        (asset(["a"], "a."), "a/a."),
        (asset(["a"], "x/y"), "a/x/y"),
        (asset(["a"], "x[1]|%2Fy"), "a/x[1]|%2Fy"),
        (asset(["a"], {"named": "x"}), "a/x"),
        (asset(["a"], {"z": "1", "b": "2"}), "a/2/1"),
        (asset(["a"], {"z": "%2F1", "b": "2"}), "a/2/%2F1"),
    ],
    ids=str,
)
def test_keys_of_assets(dialect: Dialect, address: AssetAddress, stem: str) -> None:
    layout = LegacyLayout(dialect)
    assert layout.stem(address) == stem
    assert layout.key(address, "json") == f"{stem}.json"
    assert layout.key(address, "tar.gz") == f"{stem}.tar.gz"
    assert layout.key(address, "pickle") == (f"{stem}.pickle" if dialect == "polars" else stem)


@pytest.mark.parametrize(
    ("dialect", "address", "stem"),
    [
        *((d, OpAddress("run", "step", "result"), "run/step/result") for d in FILES),
        *((d, OpAddress("run", "g.s[m]", "result", "k"), "run/g.s[m]/result/k") for d in FILES),
        *((d, OpAddress("run", "a--b", "o[1]"), "run/a--b/o[1]") for d in FILES),
        ("s3", OpAddress("run", "step", "result"), "storage/run/step/result"),
        ("s3", OpAddress("run", "g.s[m]", "result", "k"), "storage/run/g.s--m/result/k"),
        ("s3", OpAddress("a--b", "step", "result"), "storage/a--b/step/result"),
        ("s3", OpAddress("run", "a-b[c-d]", "result"), "storage/run/a-b--c-d/result"),
        *((d, OpAddress("run", "step", "result"), "storage/run/files/step/result") for d in BLOBS),
        *((d, OpAddress("r", "s[m]", "o", "k"), "storage/r/files/s[m]/o/k") for d in BLOBS),
    ],
)
def test_keys_of_ops(dialect: Dialect, address: OpAddress, stem: str) -> None:
    layout = LegacyLayout(dialect)
    assert layout.stem(address) == stem
    assert layout.key(address, "parquet") == f"{stem}.parquet"
    assert layout.key(address, "pickle") == (f"{stem}.pickle" if dialect == "polars" else stem)


@pytest.mark.parametrize("extension", ["", ".json", "a/b"])
def test_an_extension_that_a_key_cannot_end_in(extension: str) -> None:
    with pytest.raises(ConfigurationError, match="not an extension"):
        LegacyLayout("s3").key(asset(["a"]), extension)


# -- refusals ----------------------------------------------------------------------------------

LEFT_OUT = "leave it out"
SLASH = "do not tell its '/'"
UNPRINTABLE = "control character"
LEADS_OUT = "lead out of its folder"

REFUSED: list[tuple[Address, str]] = [
    (asset([""]), LEFT_OUT),
    (asset(["a", "."]), LEFT_OUT),
    (asset(["..", "a"]), LEADS_OUT),
    (asset(["a/b"]), SLASH),
    (asset(["/a"]), SLASH),
    (asset(["%2Fa"]), "same key as of '/a'"),
    (asset(["a\n"]), UNPRINTABLE),
    (asset(["a\x7f"]), UNPRINTABLE),
    (asset(["\ud800"]), UNPRINTABLE),
    (asset(["a", ".."], "x"), LEADS_OUT),
    (asset(["a"], ""), LEFT_OUT),
    (asset(["a"], "."), LEFT_OUT),
    (asset(["a"], "./."), LEFT_OUT),
    (asset(["a"], "/etc"), "same key as of '%2Fetc'"),
    (asset(["a"], "%2Fetc"), "same key as of '/etc'"),
    (asset(["a"], "x//y"), "normalise it to 'x/y'"),
    (asset(["a"], "x/./y"), "normalise it to 'x/y'"),
    (asset(["a"], "./x"), "normalise it to 'x'"),
    (asset(["a"], "x/y/"), "normalise it to 'x/y'"),
    (asset(["a"], "x\0"), UNPRINTABLE),
    (asset(["a"], "x\udfff"), UNPRINTABLE),
    (asset(["a"], {"b": "x/y", "c": "z"}), SLASH),
    (asset(["a"], {"b": "x", "c": "y/z"}), SLASH),
    (asset(["a"], {"b": "", "c": "z"}), LEFT_OUT),
    (asset(["a"], {"b": "x", "c": "."}), LEFT_OUT),
    (asset(["a"], {"b": "%2Fx", "c": "y"}), "same key as of '/x'"),
    (asset(["a"], {"b": "x", "c": "\t"}), UNPRINTABLE),
    (OpAddress("", "s", "o"), LEFT_OUT),
    (OpAddress("r", ".", "o"), LEFT_OUT),
    (OpAddress("r", "s", ".."), LEADS_OUT),
    (OpAddress("r", "s", "o/m"), SLASH),
    (OpAddress("r", "s", "o", ""), LEFT_OUT),
    (OpAddress("r", "s", "o", "\n"), UNPRINTABLE),
]

UPWARDS = [
    (asset(["a"], ".."), "%2E%2E"),
    (asset(["a"], "x/../y"), "x/%2E%2E/y"),
    (asset(["a"], {"b": "..", "c": "z"}), "%2E%2E"),
]

REFUSED_IN_ONE: list[tuple[Dialect, Address, str]] = [
    *(("filesystem", address, f"same key as of '{other}'") for address, other in UPWARDS),
    *((d, address, LEADS_OUT) for d in DIALECTS if d != "filesystem" for address, _ in UPWARDS),
    ("filesystem", asset(["a"], "%2E%2E"), "same key as of '..'"),
    ("filesystem", asset(["a"], "x/%2E%2E"), "same key as of 'x/..'"),
    ("filesystem", asset(["a"], {"b": "x", "c": "%2E%2E"}), "same key as of '..'"),
    ("s3", OpAddress("r", "s--m", "o"), r"same key as of 's\[m\]'"),
    ("s3", OpAddress("r", "s[a--b]", "o"), "same key as of 's--a--b'"),
    ("s3", OpAddress("r", "s-[m]", "o"), "same key as of 's---m'"),
    ("s3", OpAddress("r", "s[-m]", "o"), "same key as of 's---m'"),
    ("s3", OpAddress("r", "s---m", "o"), r"same key as of 's\[-m\]'"),
    ("s3", OpAddress("r", "s[", "o"), "change it to 's--'"),
    ("s3", OpAddress("r", "s]", "o"), "change it to 's'"),
    ("s3", OpAddress("r", "s[]", "o"), "change it to 's--'"),
    ("s3", OpAddress("r", "[m]", "o"), "change it to '--m'"),
    ("s3", OpAddress("r", "s[m]t", "o"), "change it to 's--mt'"),
    ("s3", OpAddress("r", "s[m][n]", "o"), "change it to 's--m--n'"),
    ("s3", OpAddress("r[1]", "s", "o"), "change it to 'r--1'"),
    ("s3", OpAddress("r", "s", "o[1]"), r"change it to 'o--1'"),
    ("s3", OpAddress("r", "s", "o", "k]"), "change it to 'k'"),
]


@pytest.mark.parametrize(
    ("dialect", "address", "reason"),
    [*((d, a, r) for d in DIALECTS for a, r in REFUSED), *REFUSED_IN_ONE],
    ids=repr,
)
def test_refusals(dialect: Dialect, address: Address, reason: str) -> None:
    layout = LegacyLayout(dialect)
    for call in (layout.stem, lambda address: layout.key(address, "json")):
        with pytest.raises(InvalidKeyError, match=reason) as caught:
            call(address)
        assert str(address) in caught.value.message
        assert caught.value.hint is not None
        for way_out in (
            "layout='hive'",
            "dg.migrate_io_storage",
            "docs/how-to/existing-buckets.md",
        ):
            assert way_out in caught.value.hint


@pytest.mark.parametrize("dialect", [d for d in DIALECTS if d != "filesystem"])
def test_only_the_file_system_manager_escapes_dots(dialect: Dialect) -> None:
    assert LegacyLayout(dialect).stem(asset(["a"], "%2E%2E")) == "a/%2E%2E"


# -- keys backwards ----------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", PICKLED_WITHOUT)
@pytest.mark.parametrize(
    ("key", "ways"),
    [
        ("a", {("a", "pickle")}),
        ("a.b/c", {("a.b/c", "pickle")}),
        ("a/1.5", {("a/1", "5"), ("a/1.5", "pickle")}),
        ("a/1.json", {("a/1", "json"), ("a/1.json", "pickle")}),
        ("a.tar.gz", {("a", "tar.gz"), ("a.tar", "gz"), ("a.tar.gz", "pickle")}),
        ("a/.b", {("a/.b", "pickle")}),
        (".b", {(".b", "pickle")}),
        ("a/.b.json", {("a/.b", "json"), ("a/.b.json", "pickle")}),
        ("a/b.", {("a/b.", "pickle")}),
        ("a/b..json", {("a/b", ".json"), ("a/b.", "json"), ("a/b..json", "pickle")}),
        ("a.pickle", {("a.pickle", "pickle")}),
        ("", {("", "pickle")}),
    ],
)
def test_split(dialect: Dialect, key: str, ways: set[tuple[str, str]]) -> None:
    found = LegacyLayout(dialect).split(key)
    assert set(found) == ways
    assert len(found) == len(ways)


def test_split_of_polars_knows_no_key_without_extension() -> None:
    layout = LegacyLayout("polars")
    assert layout.split("a/1.5.parquet") == (("a/1", "5.parquet"), ("a/1.5", "parquet"))
    assert layout.split("a.pickle") == (("a", "pickle"),)
    assert layout.split("a") == ()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_old_stems(dialect: Dialect) -> None:
    layout = LegacyLayout(dialect)
    assert layout.old_stems(asset(["a", "b"], {"z": "1", "b": "2", "y": "3"})) == ("a/b/2|3|1",)
    assert layout.old_stems(asset(["a", "b"], {"z": "1"})) == ()
    assert layout.old_stems(asset(["a", "b"])) == ()
    assert layout.old_stems(OpAddress("r", "s", "o")) == ()


def test_prefix() -> None:
    assert LegacyLayout("s3").prefix(("a", "b.c")) == "a/b.c"


def test_parse_refuses() -> None:
    with pytest.raises(ConfigurationError, match="keys of layout 'legacy' do not tell") as caught:
        LegacyLayout("s3").parse("a/b")
    assert caught.value.hint


# -- specs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "dialect"),
    [
        ("", "filesystem"),
        ("file", "filesystem"),
        ("memory", "filesystem"),
        ("s3", "s3"),
        ("gs", "gcs"),
        ("abfs", "adls"),
        ("abfss", "adls"),
    ],
)
def test_the_store_tells_the_dialect(scheme: str, dialect: Dialect) -> None:
    assert LegacyLayout.from_spec(LayoutSpec(scheme=scheme)) == LegacyLayout(dialect)
    assert get_layout("legacy", scheme=scheme) == LegacyLayout(dialect)
    assert get_layout("legacy:polars", scheme=scheme) == LegacyLayout("polars")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_by_name(dialect: Dialect) -> None:
    layout = get_layout(f"legacy:{dialect}", scheme="anything")
    assert layout == LegacyLayout(dialect)
    assert (layout.name, layout.exclusive) == ("legacy", False)


@pytest.mark.parametrize(
    "spec", [LayoutSpec("S3"), LayoutSpec("delta", "s3"), LayoutSpec(scheme="ftp")]
)
def test_unknown_dialects_and_stores(spec: LayoutSpec) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LegacyLayout.from_spec(spec)
    assert (spec.argument or spec.scheme) in caught.value.message
    assert caught.value.hint is not None
    for dialect in DIALECTS:
        assert f"layout='legacy:{dialect}'" in caught.value.hint


# -- values ------------------------------------------------------------------------------------


class Recorder(MemoryStore):
    """A memory store that notes its requests and can set the time of an object."""

    def __init__(self) -> None:
        super().__init__(secrets.token_hex(4))
        self.requests: list[str] = []

    def put(self, key: str, body: Body, **options: Any) -> ObjectInfo:
        self.requests.append(f"put {key}")
        return super().put(key, body, **options)

    def get(self, key: str) -> Any:
        self.requests.append(f"get {key}")
        return super().get(key)

    def peek(self, key: str, size: int) -> Any:
        self.requests.append(f"peek {key}")
        return super().peek(key, size)

    def head(self, key: str) -> ObjectInfo:
        self.requests.append(f"head {key}")
        return super().head(key)

    def exists(self, key: str) -> bool:
        self.requests.append(f"exists {key}")
        return super().exists(key)

    def scan(self, prefix: str = "") -> Any:
        self.requests.append(f"scan {prefix}")
        return super().scan(prefix)

    def plant(self, key: str, data: bytes, age: float = 0) -> None:
        """An object as the stock managers write it: nothing is kept beside it."""
        info = super().put(key, Body.of(data), header=Header())
        moment = datetime.now(UTC) - timedelta(seconds=age)
        bare = ObjectInfo(key, info.uri, info.size, info.etag, moment, None)
        self._space.objects[key] = (data, bare)


@pytest.fixture
def store() -> Recorder:
    return Recorder()


@pytest.fixture
def values(store: Recorder) -> ValueStore:
    return ValueStore(store, LegacyLayout("s3"), formats=Formats(allow_pickle=True))


#: An address and a format whose key is that of another address, perhaps in another format.
SHARED: list[tuple[tuple[Address, str], tuple[Address, str]]] = [
    ((asset(["a", "b"]), "json"), (asset(["a"], "b"), "json")),
    ((asset(["a"], "b"), "pickle"), (asset(["a", "b"]), "pickle")),
    ((asset(["a"], "1"), "json"), (asset(["a"], "1.json"), "pickle")),
    ((asset(["a"], "1.json"), "pickle"), (asset(["a"], "1"), "json")),
    ((asset(["a"], {"b": "1", "c": "2"}), "json"), (asset(["a", "1"], "2"), "json")),
    ((asset(["storage", "r", "s", "o"]), "json"), (OpAddress("r", "s", "o"), "json")),
    ((OpAddress("r", "s", "o", "m"), "json"), (asset(["storage", "r", "s", "o", "m"]), "json")),
]


@pytest.mark.parametrize(("owned", "wanted"), SHARED, ids=str)
def test_a_value_never_replaces_that_of_another_address(
    values: ValueStore, store: Recorder, owned: tuple[Address, str], wanted: tuple[Address, str]
) -> None:
    (owner, its_format), (other, format_name) = owned, wanted
    stored = values.write(owner, {"old": 1}, format_name=its_format)
    store.requests.clear()
    with pytest.raises(InvalidKeyError, match="the same key") as caught:
        values.write(other, {"new": 1}, format_name=format_name)
    assert store.requests == [f"head {stored.info.key}"]
    assert caught.value.uri == stored.info.uri
    assert caught.value.subject == str(other)
    assert "layout='hive'" in str(caught.value)
    assert values.read(owner, format_name=its_format) == {"old": 1}


@pytest.mark.parametrize(("owned", "wanted"), SHARED, ids=str)
def test_a_value_is_never_returned_for_another_address(
    values: ValueStore, owned: tuple[Address, str], wanted: tuple[Address, str]
) -> None:
    (owner, its_format), (other, format_name) = owned, wanted
    values.write(owner, {"old": 1}, format_name=its_format)
    with pytest.raises(InvalidKeyError, match="the same key"):
        values.read(other, format_name=format_name)
    with pytest.raises(InvalidKeyError, match="the same key"):
        values.read(other)


def test_what_a_stock_manager_wrote_is_read_and_overwritten(
    values: ValueStore, store: Recorder
) -> None:
    store.plant("a/b.json", b'"stock"')
    for address in (asset(["a", "b"]), asset(["a"], "b")):
        assert values.read(address, format_name="json") == "stock"
        assert values.read(address) == "stock"
    values.write(asset(["a"], "b"), "ours", format_name="json")
    assert values.read(asset(["a"], "b")) == "ours"
    with pytest.raises(InvalidKeyError, match="the same key"):
        values.read(asset(["a", "b"]), format_name="json")


def test_requests_of_a_write(values: ValueStore, store: Recorder) -> None:
    for _ in range(2):
        values.write(asset(["a"], "b"), "x", format_name="json")
        assert store.requests == ["head a/b.json", "put a/b.json"]
        store.requests.clear()
    ValueStore(store, HiveLayout()).write(asset(["a"], "b"), "x", format_name="json")
    assert store.requests == ["put a/partition=b/data.json"]


def test_requests_of_a_load(values: ValueStore, store: Recorder) -> None:
    values.write(asset(["a"], "b"), "x", format_name="json")
    store.requests.clear()
    assert values.read(asset(["a"], "b"), format_name="json") == "x"
    assert store.requests == ["get a/b.json"]
    store.requests.clear()
    assert values.read(asset(["a"], "b")) == "x"
    assert store.requests == ["scan a/b", "get a/b.json"]


TWO = asset(["a"], {"z": "1", "b": "2"})


@pytest.mark.parametrize("format_name", ["json", "auto"])
def test_very_old_partitions_are_found(
    values: ValueStore, store: Recorder, format_name: str
) -> None:
    store.plant("a/2|1.json", b'"very old"', age=10)
    assert values.read(TWO, format_name=format_name) == "very old"
    (place,) = values.locate([TWO], format_name=format_name)
    assert place
    assert values.places.exists(place)
    values.write(TWO, "new", format_name="json")
    assert values.read(TWO, format_name=format_name) == "new"
    assert "put a/2/1.json" in store.requests


def test_a_missing_partition_is_asked_for_under_both_keys(
    values: ValueStore, store: Recorder
) -> None:
    (place,) = values.locate([TWO], format_name="json")
    assert place
    with pytest.raises(ObjectNotFoundError):
        Reader().piece(place)
    asked = ["get a/2/1.json", "get a/2|1.json"]
    again = [request.replace("get", "exists") for request in asked]
    assert store.requests == [*asked, "scan a/2/1", *again]


def test_the_newest_format_wins(values: ValueStore, store: Recorder) -> None:
    store.plant("a/1.5", b"\x80\x04K\x07.", age=10)
    address = asset(["a"], "1.5")
    assert values.read(address) == 7
    values.write(address, {"new": 1})
    assert values.read(address) == {"new": 1}
    assert sorted(info.key for info in store.scan()) == ["a/1.5", "a/1.5.json"]


def test_an_unknown_ending_is_part_of_a_name(values: ValueStore, store: Recorder) -> None:
    store.plant("a/1.5", b"\x80\x04K\x07.")
    store.plant("a/1.", b"\x80\x04K\x08.")
    assert values.locate([asset(["a"], "1")]) == [None]
