"""How compression is chosen and found, and that others read what it gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pytest
from dagster_buckets import MemoryStore
from dagster_buckets.choosing import Formats
from dagster_buckets.errors import ConfigurationError, DecodeError
from dagster_buckets.formats.compression import SUFFIXES, Codec, Compressed, check_codec, compressed
from dagster_buckets.formats.csv import CSVFormat
from dagster_buckets.formats.limits import Limit
from dagster_buckets.formats.text import TextFormat
from dagster_buckets.objects import Body
from dagster_buckets.plugins import format_by_extension, get_format, names
from dagster_buckets.testing.formats import payload_of

CODECS: tuple[Codec, ...] = get_args(Codec)
TABLE = pa.table({"n": [1, 2, None], "s": ["a", "é,", None]})


# -- by extension -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text", "bytes", "json", "csv", "ndjson"])
@pytest.mark.parametrize("codec", CODECS)
def test_extensions_tell_format_and_codec(name: str, codec: Codec) -> None:
    plain = get_format(name)
    assert format_by_extension(plain.extension) == (plain, None)
    assert format_by_extension(f"{plain.extension}.{SUFFIXES[codec]}") == (plain, codec)


@pytest.mark.parametrize(
    "extension", ["", "zst", "gz", "csv.", "csv.zstd", "csv.zst.gz", "xcsv.gz", ".gz"]
)
def test_other_extensions_are_nobody_s(extension: str) -> None:
    assert format_by_extension(extension) is None


def test_no_format_ends_like_a_codec() -> None:
    assert not {get_format(name).extension for name in names("formats")} & set(SUFFIXES.values())


def test_codecs_are_checked() -> None:
    assert [check_codec(codec) for codec in CODECS] == list(CODECS)
    assert check_codec("none") is None
    assert check_codec(None) is None
    for wrong in ("zip", "", 1, ["gzip"]):
        with pytest.raises(ConfigurationError, match="the compression") as caught:
            check_codec(wrong)
        assert "'gzip'" in str(caught.value.hint)


# -- as it is set -------------------------------------------------------------------------------


def test_the_manager_compresses_one_format() -> None:
    formats = Formats({"csv": {"compression": "zstd", "delimiter": ";"}})
    made = formats.named("csv")
    assert isinstance(made, Compressed)
    assert (made.extension, made.codec, made.inner) == ("csv.zst", "zstd", CSVFormat(delimiter=";"))
    assert formats.named("json") == get_format("json")


def test_a_value_compresses_whatever_format_it_has() -> None:
    formats = Formats().having({"compression": "gzip"})
    assert formats.named("text").extension == "txt.gz"
    chosen = formats.of_class(None, dict)
    assert chosen is not None
    assert chosen.extension == "json.gz"
    # Parquet does it by itself.
    assert formats.named("parquet").extension == "parquet"
    assert getattr(formats.named("parquet"), "compression", None) == "gzip"


def test_a_value_s_setting_wins() -> None:
    formats = Formats({"csv": {"compression": "zstd"}})
    assert formats.having({"compression": "lz4"}).named("csv").extension == "csv.lz4"
    assert formats.having({"compression": "none"}).named("csv") == get_format("csv")


@pytest.mark.parametrize(
    "formats", [Formats({"csv": {"compression": "zip"}}), Formats({"json": {"compression": 1}})]
)
def test_unknown_codecs_are_refused_before_anything_is_written(formats: Formats) -> None:
    with pytest.raises(ConfigurationError, match="the compression"):
        formats.check()


def test_the_limit_of_the_manager_is_that_of_what_is_unpacked() -> None:
    formats = Formats({"text": {"compression": "gzip"}}, limit=Limit(max_bytes=10))
    stored = payload_of(formats.named("text").encode("x" * 11))
    with pytest.raises(DecodeError, match="more than 10 in memory"):
        formats.named("text").decode(stored, None)


# -- as it is found -----------------------------------------------------------------------------


def test_what_an_object_is_called_says_how_it_is_read() -> None:
    # What is going to be written does not matter to what was.
    formats = Formats({"csv": {"compression": "gzip", "delimiter": ";"}})
    found = formats.found("csv.zst")
    assert isinstance(found, Compressed)
    assert (found.codec, found.inner) == ("zstd", CSVFormat(delimiter=";"))
    assert formats.found("csv") == CSVFormat(delimiter=";")
    assert formats.found("tar.gz") is None


def test_compression_hides_no_pickle() -> None:
    with pytest.raises(ConfigurationError, match="runs code"):
        Formats().found("pickle.zst")
    assert isinstance(Formats(allow_pickle=True).found("pickle.zst"), Compressed)


def test_streams_stay_streams() -> None:
    class Streaming:
        name = extension = "streaming"
        media_type = "text/plain"
        claims: tuple[str, ...] = ()
        taken = 0

        def encode(self, value: Any) -> Body:
            def parts() -> Any:
                for _ in range(value):
                    self.taken += 1
                    yield bytes(1024 * 1024)

            return Body(parts())

        def decode(self, payload: Any, as_type: Any) -> int:
            return memoryview(payload.data).nbytes

    inner = Streaming()
    body = compressed(inner, "zstd", Limit()).encode(20)
    assert body.held is None
    assert inner.taken == 0
    store = MemoryStore("streams")
    store.put("x", body)
    assert inner.taken == 20
    assert compressed(inner, "zstd", Limit()).decode(store.get("x"), None) == 20 * 1024 * 1024


# -- as others read it --------------------------------------------------------------------------


def written(tmp_path: Path, codec: Codec) -> str:
    made = compressed(CSVFormat(), codec, Limit())
    path = tmp_path / f"data.{made.extension}"
    path.write_bytes(made.encode(TABLE).joined())
    return str(path)


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_duckdb_reads_it(codec: Codec, tmp_path: Path) -> None:
    with duckdb.connect() as database:
        rows = database.execute("from read_csv(?)", [written(tmp_path, codec)]).fetchall()
    assert rows == [(1, "a"), (2, "é,"), (None, None)]


@pytest.mark.parametrize("codec", ["zstd", "gzip"])
def test_polars_reads_it(codec: Codec, tmp_path: Path) -> None:
    assert pl.read_csv(written(tmp_path, codec)).rows() == [(1, "a"), (2, "é,"), (None, None)]


@pytest.mark.parametrize("codec", CODECS)
def test_arrow_reads_it(codec: Codec, tmp_path: Path) -> None:
    options = pc.ConvertOptions(strings_can_be_null=True)
    file: Any
    with pa.CompressedInputStream(pa.OSFile(written(tmp_path, codec), "rb"), codec) as file:
        assert pc.read_csv(file, convert_options=options).to_pylist() == TABLE.to_pylist()


def test_a_reader_of_gzip_reads_text(tmp_path: Path) -> None:
    import gzip

    made = compressed(TextFormat(), "gzip", Limit())
    assert gzip.decompress(made.encode("naïve").joined()).decode() == "naïve"
    packed = gzip.compress("naïve".encode()) + gzip.compress(b"!")
    assert made.decode(payload_of(Body.of(packed)), None) == "naïve!"


def test_no_value_is_no_reason_to_pickle() -> None:
    formats = Formats(allow_pickle=True)
    assert formats.of_class(None, None) is None
    found = formats.of_class(None, set)
    assert found is not None
    assert found.name == "pickle"
