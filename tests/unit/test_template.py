from __future__ import annotations

import datetime as dt
import hashlib
import math
import pickle
import secrets
from collections import Counter
from itertools import product
from random import Random
from typing import Any

import pytest
from dagster_buckets.address import Address, AssetAddress, OpAddress
from dagster_buckets.errors import ConfigurationError, InvalidKeyError
from dagster_buckets.layouts import LayoutSpec, TemplateLayout
from dagster_buckets.layouts.template import matching
from dagster_buckets.layouts.template.fields import variants
from dagster_buckets.layouts.template.matching import write
from dagster_buckets.layouts.template.shards import shard_of
from dagster_buckets.objects import Body
from dagster_buckets.plugins import get_layout
from dagster_buckets.stores.memory import MemoryStore
from dagster_buckets.testing.strategies import asset_addresses, hostile_text
from dagster_buckets.values import ValueStore
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

asset = AssetAddress.of


@pytest.mark.parametrize(
    ("template", "address", "key"),
    [
        ("{asset}.{ext}", asset(["a", "b"]), "a/b.x"),
        ("raw/{asset}/v1.{ext}", asset(["a.b", ""]), "raw/a%2Eb/%/v1.x"),
        ("{asset[0]}/_/{asset[1:]}.{ext}", asset(["a", "b", "c"]), "a/_/b/c.x"),
        ("{asset[-1]}/in/{asset[:-1]}.{ext}", asset(["a", "b", "c"]), "c/in/a/b.x"),
        ("{asset[0]}@{asset[1:-1]}/{asset[-1]}.{ext}", asset(["a", "b", "c"]), "a@b/c.x"),
        ("{asset}/{partition}.{ext}", asset(["a", "b"], "x/y"), "a/b/x%2Fy.x"),
        ("{asset}/{partition}.{ext}", asset(["a"], ""), "a/%.x"),
        ("{asset}/{partition}.{ext}", asset(["a"], ".."), "a/%2E%2E.x"),
        ("{asset}/{dim.a}.{dim.b}.{ext}", asset(["k"], {"b": "1.5", "a": "x"}), "k/x.1%2E5.x"),
        ("{asset}/{dim.a b}.{ext}", asset(["k"], {"a b": "x"}), "k/x.x"),
        ("{asset}/{date:%Y/%m/%d}.{ext}", asset(["a"], "2024-02-29"), "a/2024/02/29.x"),
        ("{asset}/{partition:%Y%m%d}.{ext}", asset(["a"], "2024-02-29"), "a/20240229.x"),
        ("{asset}/{date:%Y-%j}.{ext}", asset(["a"], "2024-12-31"), "a/2024-366.x"),
        ("{asset}/{date:%Y/%m}.{ext}", asset(["a"], "2024-02-01"), "a/2024/02.x"),
        ("{asset}/{date:%Y}.{ext}", asset(["a"], "2024-01-01"), "a/2024.x"),
        ("{asset}/{date:%Y-%m-%d/%H:%M}.{ext}", asset(["a"], "2024-02-29-23:30"), "a/2024-02-29/23:30.x"),
        ("{asset}/{date:%Y%m%d%H}.{ext}", asset(["a"], "2024-02-29-23:00"), "a/2024022923.x"),
        ("{asset}/{date:%Y%m%d%H%M%S}.{ext}", asset(["a"], "2024-02-29-23:30:01"), "a/20240229233001.x"),
        ("y={date:%Y}/m={date:%m}/d={date:%d}/{asset}.{ext}", asset(["a"], "2024-02-29"), "y=2024/m=02/d=29/a.x"),
        ("{asset}/{asset[-1]}_{date:%Y}.{ext}", asset(["a", "b"], "2024-01-01"), "a/b/b_2024.x"),
        ("{asset}/{partition}/{date:%Y}.{ext}", asset(["a"], "2024-05-06"), "a/2024-05-06/2024.x"),
        ("{asset}/{dim.day:%Y}-{dim.who}.{ext}", asset(["a"], {"day": "2024-01-01", "who": "me"}), "a/2024-me.x"),
        ("{asset}[/p={partition}]/data.{ext}", asset(["a"]), "a/data.x"),
        ("{asset}[/p={partition}]/data.{ext}", asset(["a"], "b"), "a/p=b/data.x"),
        ("{asset}[/p={partition}][/a={dim.a}/b={dim.b}]/data.{ext}", asset(["k"], {"a": "1", "b": "2"}), "k/a=1/b=2/data.x"),
        ("{asset}/{shard}/{partition}.{ext}", asset(["a", "b"], "2024-01-31"), "a/b/60/2024-01-31.x"),
        ("{asset}[/shard={shard:4}/p={partition}]/data.{ext}", asset(["a"], "1"), "a/shard=21e0/p=1/data.x"),
        ("{asset}[/shard={shard:4}/p={partition}]/data.{ext}", asset(["a"]), "a/data.x"),
        ("{asset}/{partition}{shard:1}.{ext}", asset(["a"], "é"), "a/%C3%A9e.x"),
        ("{asset}/{dim.a}/{shard}{date:%Y}.{ext}", asset(["k"], {"a": "x", "partition": "2024-01-01"}), "k/x/d22024.x"),
        ("{asset}/value.dat", asset(["a"]), "a/value.dat"),
        ("{asset}.{ext}", OpAddress("r", "s", "o"), ".runs/r/s/o/data.x"),
        ("{asset}/value.dat", OpAddress("r", "s", "o", "m"), ".runs/r/s/o/m/data.x"),
    ],
)  # fmt: skip
def test_keys(template: str, address: Address, key: str) -> None:
    layout = TemplateLayout(template)
    assert layout.key(address, "x") == key
    tells = key.endswith(".x")
    assert layout.parse(key) == (address, "x" if tells else "")
    assert layout.split(key) == ((layout.stem(address), "x" if tells else ""),)
    assert layout.stem(address) == (key[:-1] if tells else key)
    if isinstance(address, AssetAddress):
        assert key.startswith(layout.prefix(address.path))


# Each with two addresses for which the fields give one key, or a key and a folder of it.
COLLIDING = [
    ("data.{ext}", asset(["a"]), asset(["b"])),
    ("{asset[0]}.{ext}", asset(["a"]), asset(["a", "a"])),
    ("{asset[-1]}/{partition}.{ext}", asset(["a"], "a"), asset(["a", "a"], "a")),
    ("{asset[0]}/{asset[1]}.{ext}", asset(["a", "a"]), asset(["a", "a", "a"])),
    ("{asset[0]}/{asset[2:]}.{ext}", asset(["a", "a", "a"]), asset(["a", "b", "a"])),
    ("{asset}", asset(["a"]), asset(["a", "a"])),
    ("{asset}[/{partition}]/data.{ext}", asset(["a"], "a"), asset(["a", "a"])),
    ("{asset}[/{date:%Y/%m/%d}]/data.{ext}", asset(["a"], "2024-01-01"), asset(["a", "2024", "01", "01"])),
    ("{asset}[/day/{partition}].{ext}", asset(["a"], "a"), asset(["a", "day", "a"])),
    ("{asset}-{partition}.{ext}", asset(["a"], "a-a"), asset(["a-a"], "a")),
    ("{asset}/{dim.a}{dim.b}.{ext}", asset(["a"], {"a": "a", "b": "aa"}), asset(["a"], {"a": "aa", "b": "a"})),
    ("{asset}/{dim.a}_{dim.b}.{ext}", asset(["a"], {"a": "a", "b": "a_a"}), asset(["a"], {"a": "a_a", "b": "a"})),
    ("{asset}/{dim.a}/{dim.b}", asset(["a"], {"a": "a", "b": "a"}), asset(["a", "a"], {"a": "a", "b": "a"})),
    ("{asset}/{date:%m/%d}.{ext}", asset(["a"], "2024-01-01"), asset(["a"], "2023-01-01")),
    ("{asset}/{date:%Y/%d}.{ext}", asset(["a"], "2024-01-01"), asset(["a"], "2024-02-01")),
    ("{asset}/{date:%Y%m%d%M}.{ext}", asset(["a"], "2024-01-01-00:00"), asset(["a"], "2024-01-01-01:00")),
    ("{asset}/{date:%Y/%H}.{ext}", asset(["a"], "2024-01-01-00:00"), asset(["a"], "2024-02-01-00:00")),
    ("{asset}/{date:%Y/%m}", asset(["a"], "2024-01-01"), asset(["a", "2024", "01"], "2024-01-01")),
    ("{asset}[/p{partition}]/data.{ext}", asset(["a"], "a"), asset(["a", "pa"])),
    ("{asset}[/{partition}p]/data.{ext}", asset(["a"], "a"), asset(["a", "ap"])),
    ("{asset}/v[2{dim.a}@][{dim.b:%Y}@]/d.{ext}", asset(["a"], {"a": "024"}), asset(["a"], {"b": "2024-01-01"})),
    ("{asset}[/{dim.a}]/x[/{dim.b}].{ext}", None, None),
    ("{dim.a}/{asset}[/{dim.b}].{ext}", asset(["a"], {"a": "a", "b": "a"}), asset(["a", "a"], {"a": "a"})),
    ("{asset}[/{shard:3}/{partition}]/data.{ext}", asset(["a"], "a"), asset(["a", "ced", "a"])),
]  # fmt: skip


@pytest.mark.parametrize(("template", "one", "other"), COLLIDING)
def test_colliding_templates_are_refused_with_an_example(
    template: str, one: AssetAddress | None, other: AssetAddress | None
) -> None:
    with pytest.raises(ConfigurationError, match="does not keep addresses apart") as caught:
        TemplateLayout(template)
    assert caught.value.hint
    if one is None or other is None:
        assert "both get the key" in str(caught.value) or "a folder of" in str(caught.value)
        return
    assert str(one) in str(caught.value)
    assert str(other) in str(caught.value)
    keys = sorted(_loose(template, address) for address in (one, other))
    assert keys[0] == keys[1] or keys[1].startswith(f"{keys[0]}/")


def _loose(template: str, address: AssetAddress) -> str:
    """The key that the fields give, whatever they lose."""
    dimensions = tuple(name for name, _ in address.partition)
    (variant,) = (v for v in variants(template) if v.dimensions == dimensions)
    return f"{write(variant, address)}{'x' if variant.has_extension else ''}"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "empty"),
        ("/{asset}.{ext}", "empty"),
        ("{asset}//x.{ext}", "empty"),
        ("{asset}/", "empty"),
        ("{asset}/../x.{ext}", r"'\.\.'"),
        ("./{asset}.{ext}", r"'\.'"),
        ("{asset", "not closed"),
        ("asset}", "no partner"),
        ("{{asset}}", "no partner"),
        ("{asset}[/{partition}", "not closed"),
        ("{asset}]/x", "no partner"),
        ("{asset}/{asset}.{ext}", "one slice of the asset key ends is unknown"),
        ("{asset}[[/{partition}]]", "no partner"),
        ("{asset}[/x].{ext}", "needs a field of a partition"),
        ("{asset}[/{partition}][/{date:%Y}].{ext}", "two ways to write"),
        ("{asset}/{}.{ext}", "no field {}"),
        ("{asset}/{key}.{ext}", "no field {key}"),
        ("{asset[x]}.{ext}", r"no field {asset\[x\]}"),
        ("{asset[]}.{ext}", r"no field {asset\[\]}"),
        ("{asset[:2]}.{ext}", "slices count from both ends"),
        ("{asset[-2:]}.{ext}", "slices count from both ends"),
        ("{asset}/{date}.{ext}", "needs a format"),
        ("{asset}/{date:%y}.{ext}", "'%y' is none of the directives"),
        ("{asset}/{date:%Y%}.{ext}", "'%' is none of the directives"),
        ("{asset}/{date:%Y~%m}.{ext}", "not safe in keys"),
        ("{asset}/50%.{ext}", "not safe in keys"),
        ("{asset}/~.{ext}", "not safe in keys"),
        ("{asset}/é.{ext}", "not safe in keys"),
        ("{asset}/a\\b.{ext}", "not safe in keys"),
        ("{asset}/{ext}", "after a dot"),
        ("{asset}{ext}", "after a dot"),
        ("{ext}/{asset}", "after a dot"),
        ("{asset}.{ext}.gz", "after a dot"),
        ("{asset}.{ext}.{ext}", "after a dot"),
        (".runs/{asset}.{ext}", "holds the outputs of ops"),
        ("{shard}/{asset}.{ext}", "{shard} stands after {asset}"),
        ("raw/{shard}/{asset}.{ext}", "{shard} stands after {asset}"),
        ("{asset[0]}/{shard}/{asset[1:]}.{ext}", "{shard} stands after {asset}"),
        ("{asset}[/{shard}].{ext}", "needs a field of a partition"),
        ("{asset}/{shard:0}.{ext}", "no field {shard:0}"),
        ("{asset}/{shard:5}.{ext}", "no field {shard:5}"),
        # Nothing tells a shard from the name of an asset, and not all of them have the same.
        ("{asset}/{shard}[/{partition}]/data.{ext}", "of another kind"),
        ("{asset}/{dim.a}{shard}{dim.b}.{ext}", "where one field ends and the next begins"),
    ],
)
def test_what_is_no_template(template: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        TemplateLayout(template)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("template", "address", "reason"),
    [
        ("{asset}.{ext}", asset(["a"], "x"), "no place for the dimensions partition"),
        ("{asset}/{partition}.{ext}", asset(["a"]), "no place for an asset without partitions"),
        ("{asset}/{dim.day}.{ext}", asset(["a"], "x"), "no place for the dimensions partition"),
        ("{asset}/{dim.a}.{ext}", asset(["a"], {"a": "x", "b": "y"}), "no place for the dimensions a, b"),
        ("{asset[0]}/x/{asset[1:]}.{ext}", asset(["a"]), "needs more parts"),
        ("{asset}/{date:%Y/%m/%d}.{ext}", asset(["a"], "x"), "spells no time"),
        ("{asset}/{date:%Y/%m/%d}.{ext}", asset(["a"], "2024-02-30"), "spells no time"),
        ("{asset}/{date:%Y/%m/%d}.{ext}", asset(["a"], "2024-2-3"), "spells no time"),
        ("{asset}/{date:%Y/%m/%d}.{ext}", asset(["a"], "2024-02-03-00:00"), "spells no time"),
        ("{asset}/{date:%Y/%m/%d/%H}.{ext}", asset(["a"], "2024-02-03"), "spells no time"),
        ("{asset}/{date:%Y/%m}.{ext}", asset(["a"], "2024-02-03"), "the key of '2024-02-01'"),
        ("{asset}/{date:%Y/%m/%d/%H}.{ext}", asset(["a"], "2024-02-03-04:30"), "the key of '2024-02-03-04:00'"),
        ("{asset}.{ext}", asset(["\ud800"]), "lone surrogate"),
    ],
)  # fmt: skip
def test_refused_addresses(template: str, address: AssetAddress, reason: str) -> None:
    layout = TemplateLayout(template)
    for of in (layout.stem, lambda a: layout.key(a, "x")):
        with pytest.raises(InvalidKeyError, match=reason) as caught:
            of(address)
        assert caught.value.hint


@pytest.mark.parametrize(
    "key",
    [
        "", "a", "a.x", "a/data", "a/data.", "a/p=/data.x", "a/p=%61/data.x", "a/p=b~c/data.x",
        "/data.x", "a//data.x", "../data.x", "é/data.x", "%FF/data.x", ".runs/a/data.x",
        ".runs/%FF/s/o/data.x", "a/p=b/c/data.x", "a/data..x", "a/d=2024/data.x", "a/d=2024-02-30/data.x",
        "a/d=2024-01-01\n/data.x", "a/d=٢٠٢٤-01-01/data.x",
    ],
)  # fmt: skip
def test_foreign_keys(key: str) -> None:
    layout = TemplateLayout("{asset}[/p={partition}][/d={dim.d:%Y-%m-%d}]/data.{ext}")
    assert layout.parse(key) is None


def test_of_one_asset() -> None:
    layout = TemplateLayout("daily[/{date:%Y/%m/%d}]/{asset[-1]}.{ext}", ("shop", "a.b"))
    assert layout.key(asset(["shop", "a.b"], "2024-01-02"), "x") == "daily/2024/01/02/a%2Eb.x"
    assert layout.key(asset(["shop", "a.b"]), "x") == "daily/a%2Eb.x"
    assert layout.parse("daily/2024/01/02/a%2Eb.x") == (asset(["shop", "a.b"], "2024-01-02"), "x")
    assert layout.prefix(("shop", "a.b")) == "daily/"
    assert not layout.exclusive
    assert TemplateLayout("{asset}.{ext}").exclusive
    with pytest.raises(InvalidKeyError, match=r"is for the asset 'shop/a\.b' only"):
        layout.key(asset(["other"]), "x")
    with pytest.raises(ConfigurationError, match=r"'2024-01-01' and asset 'k', partition '2023-01"):
        TemplateLayout("daily/{date:%m/%d}.{ext}", ("k",))
    with pytest.raises(ConfigurationError, match="both get the key"):
        TemplateLayout("daily/{dim.a}-{dim.b}.{ext}", ("k",))


def test_made_from_a_setting() -> None:
    assert get_layout("template:{asset}.{ext}") == TemplateLayout("{asset}.{ext}")
    colon = "template:{asset}/{date:%Y-%m-%d-%H:%M}.{ext}"
    assert get_layout(colon).name == "template"
    assert get_layout("template:x.{ext}", asset=("a",)) == TemplateLayout("x.{ext}", ("a",))
    for setting in ("template", "template:"):
        with pytest.raises(ConfigurationError, match="needs a template") as caught:
            get_layout(setting)
        assert "template:{asset}" in str(caught.value.hint)
    with pytest.raises(ConfigurationError, match="'hive' takes no argument"):
        get_layout("hive:x")
    assert TemplateLayout.from_spec(LayoutSpec("x.{ext}", "s3", ("a",))).asset == ("a",)


def test_pickled_and_compared() -> None:
    layout = TemplateLayout("{asset}[/{date:%Y},x].{ext}")
    copy = pickle.loads(pickle.dumps(layout))  # noqa: S301 - our own
    assert copy == layout
    assert hash(copy) == hash(layout)
    assert copy.key(asset(["a"], "2024-01-01"), "x") == "a/2024,x.x"
    assert repr(layout) == "TemplateLayout(template='{asset}[/{date:%Y},x].{ext}', asset=None)"


def test_listings_begin_as_late_as_they_can() -> None:
    layout = TemplateLayout("lake/{asset}[/p={partition}][/q={dim.q}]/data.{ext}")
    assert layout.prefix(("a", "b")) == "lake/a/b/"
    assert TemplateLayout("{partition}/{asset}.{ext}").prefix(("a",)) == ""


# -- any template ----------------------------------------------------------------------------------

_ASSETS = st.sampled_from(
    ["{asset}", "{asset[0]}/{asset[1:]}", "{asset[:-1]}/x/{asset[-1]}", "v-{asset}", "{asset[1:]}@{asset[0]}"]
)  # fmt: skip
_OTHERS = st.sampled_from(
    ["{asset[-1]}", "{partition}", "p={partition}", "{dim.a}.{dim.b}", "{dim.a}-{dim.b}", "{dim.a}", "b={dim.b}",
     "{shard}", "{shard:1}{partition}", "{dim.a}{shard:1}", "{date:%Y}", "{date:%m/%d}", "{date:%Y-%m}", "{dim.a:%Y%m%d}", "data", "a", "2024", "p=a"]
)  # fmt: skip
_OPTIONAL = st.sampled_from(
    ["", "[/{partition}]", "[/p={partition}]", "[/{shard:1}/p={partition}]", "[/{dim.a}]", "[/a={dim.a}][/a,b={dim.b}]", "[/{date:%Y}]", "[.{dim.b}]"]
)  # fmt: skip


@st.composite
def _templates(draw: st.DrawFn) -> str:
    """Templates of which about half keep addresses apart."""
    parts = draw(st.permutations([draw(_ASSETS), *draw(st.lists(_OTHERS, max_size=2))]))
    middle = draw(st.sampled_from(["/", "/", "/", "-", "."])).join(parts)
    end = draw(st.sampled_from([".{ext}", "/data.{ext}", "/data", ""]))
    return middle + draw(_OPTIONAL) + end


_WORDS = (
    "a",
    "b",
    "-",
    "a-a",
    "2024",
    "01",
    "p",
    "x",
    "data",
    "p=a",
    "2024-01-01",
    "2024-02-01",
    "2023-01-02",
)
_SHORT = _WORDS[:6]
_PATHS = [path for length in (1, 2, 3, 4) for path in product(_SHORT[: 6 - length], repeat=length)]
_PARTITIONS: list[Any] = [None, *_WORDS]
_PARTITIONS += [{"a": one} for one in _WORDS]
_PARTITIONS += [{"a": one, "b": two} for one, two in product(_SHORT, repeat=2)]
_PARTITIONS += [{"a": one, "partition": two} for one, two in product(_SHORT, _WORDS)]
_SMALL = [asset(path, partition) for path, partition in product(_PATHS[::3], _PARTITIONS)]


def _made(template: str) -> TemplateLayout:
    try:
        return TemplateLayout(template)
    except ConfigurationError:
        reject()


def _key(layout: TemplateLayout, address: AssetAddress) -> str | None:
    try:
        return layout.key(address, "x")
    except InvalidKeyError:
        return None


@settings(max_examples=50, suppress_health_check=[HealthCheck.filter_too_much])
@given(_templates(), st.randoms(use_true_random=False))
def test_what_is_accepted_keeps_addresses_apart(template: str, random: Random) -> None:
    _assert_apart(_made(template), random.sample(_SMALL, 1000))


@settings(max_examples=25, suppress_health_check=[HealthCheck.filter_too_much])
@given(_templates().filter(lambda template: "{shard" in template), st.randoms())
def test_the_proof_does_not_lean_on_the_hash(template: str, random: Random) -> None:
    layout = _made(template)
    with pytest.MonkeyPatch.context() as patched:
        # Whatever digits an address has: all the same, and those of names.
        patched.setattr(matching, "shard_of", lambda _, width: "a" * width)
        _assert_apart(layout, random.sample(_SMALL, 1000))


def _assert_apart(layout: TemplateLayout, several: list[AssetAddress]) -> None:
    keys = {address: key for address in several if (key := _key(layout, address)) is not None}
    owners = {key: address for address, key in keys.items()}
    assert len(owners) == len(keys)
    for key, address in owners.items():
        assert layout.parse(key) == (address, "x" if layout.split(key)[0][1] else "")
        assert not any(key[:end] in owners for end, sign in enumerate(key) if sign == "/")


@settings(max_examples=75, suppress_health_check=[HealthCheck.filter_too_much])
@given(_templates(), asset_addresses(), hostile_text())
def test_what_is_accepted_is_inverted(template: str, address: AssetAddress, key: str) -> None:
    layout = _made(template)
    own = _key(layout, address)
    if own is not None:
        parsed = layout.parse(own)
        assert (parsed is None) if "~" in own else (parsed and parsed[0] == address)
    foreign = layout.parse(key)
    if foreign is not None:
        assert layout.key(foreign[0], foreign[1] or "x") == key


# -- shards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", ["/", "/shard=", "."])
@pytest.mark.parametrize(
    "folder", ["{asset}", "v-{asset}", "{asset[1:]}@{asset[0]}", "raw/{asset}"]
)
def test_with_a_shard_an_asset_is_listed_without_the_others(folder: str, before: str) -> None:
    layout = TemplateLayout(f"{folder}{before}{{shard}}/{{partition}}.{{ext}}")
    prefixes = {path: layout.prefix(path) for path in (("a", "b"), ("a", "c"), ("b", "b"))}
    for path, prefix in prefixes.items():
        key = layout.key(asset(path, "2024-01-01"), "x")
        assert [own for own, start in prefixes.items() if key.startswith(start)] == [path]
        assert layout.parse(key) == (asset(path, "2024-01-01"), "x")
        assert prefix


def test_a_shard_is_the_start_of_a_sum_that_anybody_can_make() -> None:
    label = b'{"asset":["shop","orders"],"partition":{"partition":"2024-01-31"}}'
    digits = hashlib.sha256(label).hexdigest()
    for width in (1, 2, 3, 4):
        layout = TemplateLayout(f"{{asset}}/{{shard:{width}}}/{{partition}}.{{ext}}")
        key = layout.key(asset(["shop", "orders"], "2024-01-31"), "x")
        assert key == f"shop/orders/{digits[:width]}/2024-01-31.x"
        other = f"{(int(digits[:width], 16) + 1) % 16**width:0{width}x}"
        assert layout.parse(key.replace(f"/{digits[:width]}/", f"/{other}/")) is None


@pytest.mark.parametrize("width", [1, 2])
def test_shards_are_even_for_days_and_hours(width: int) -> None:
    start, shards = dt.datetime(2015, 1, 1, tzinfo=dt.UTC), 16**width
    for step, spelling, count in (
        (dt.timedelta(days=1), "%Y-%m-%d", 3650),
        (dt.timedelta(hours=1), "%Y-%m-%d-%H:%M", 50_000),
    ):
        keys = [(start + step * number).strftime(spelling) for number in range(count)]
        found = Counter(shard_of(asset(["orders"], key), width) for key in keys)
        mean = count / shards
        spread = sum((found[f"{n:0{width}x}"] - mean) ** 2 / mean for n in range(shards))
        # Chi-squared: within four standard deviations of what chance gives.
        assert abs(spread - (shards - 1)) < 4 * math.sqrt(2 * (shards - 1))


# -- formats without an extension ------------------------------------------------------------------


@pytest.fixture
def values() -> ValueStore:
    store = MemoryStore(secrets.token_hex(4))
    return ValueStore(store, TemplateLayout("{asset}[/day={partition}].dat"))


@pytest.mark.parametrize("value", [{"a": 1}, "text", b"bytes"], ids=str)
def test_the_header_tells_the_format(values: ValueStore, value: Any) -> None:
    address = asset(["a"], "x")
    values.write(address, b"older")
    assert values.write(address, value).info.uri.endswith("/a/day=x.dat")
    assert values.read(address) == value
    assert len(list(values.store.scan())) == 1


def test_what_others_wrote_needs_a_name(values: ValueStore) -> None:
    address = asset(["a"], "x")
    values.store.put("a/day=x.dat", Body.of(b"17"))
    with pytest.raises(ConfigurationError, match="tells its format") as caught:
        values.read(address)
    assert "dagster_buckets/format" in str(caught.value.hint)
    assert values.read(address, format_name="json") == 17
