"""Formats whose bytes are compressed as a whole keep the promises of formats."""

# The fixture is called what it gives.
# ruff: noqa: A002
from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast, get_args

import pyarrow as pa
import pytest
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats import Format
from dagster_buckets.formats.compression import SUFFIXES, Codec, compressed
from dagster_buckets.formats.limits import Limit
from dagster_buckets.objects import Body
from dagster_buckets.plugins import get_format
from dagster_buckets.testing.formats import FormatConformance, FormatSamples, payload_of

from tests.conformance.test_formats import GAPS, SAMPLES

CODECS: tuple[Codec, ...] = get_args(Codec)
INNER = ("text", "bytes", "json", "csv", "ndjson", "pickle")
MIB = 1024 * 1024


class TestCompressedFormats(FormatConformance):
    @pytest.fixture(params=[f"{name}-{codec}" for name in INNER for codec in CODECS])
    def format(self, request: pytest.FixtureRequest) -> Format:
        name, codec = request.param.split("-")
        reason = GAPS.get((name, request.function.__name__))
        if reason:
            request.applymarker(pytest.mark.xfail(strict=True, reason=reason))
        return compressed(get_format(name), cast("Codec", codec), Limit())

    @pytest.fixture
    def samples(self, format: Format) -> FormatSamples:
        plain = SAMPLES[format.name]
        inner = get_format(format.name)
        whole = bytes(format.encode(plain.values[0]).joined())
        return replace(
            plain,
            values=plain.values[:5],
            refused=plain.refused[:3],
            # Not compressed, by another codec, nothing at all, cut, with more behind it.
            damaged=[
                bytes(inner.encode(plain.values[1]).joined()) + b"plain",
                *(bytes(compressed(inner, codec, Limit()).encode(plain.values[0]).joined())
                  for codec in CODECS if not format.extension.endswith(SUFFIXES[codec])),
                b"",
                whole[:-1],
                whole + b"\0",
            ],
        )  # fmt: skip

    def test_a_beginning_is_never_a_value(self, format: Format, samples: FormatSamples) -> None:
        for value in samples.values:
            data = bytes(format.encode(value).joined())
            for end in range(len(data)):
                with pytest.raises(DecodeError) as caught:
                    format.decode(payload_of(Body.of(data[:end])), None)
                assert caught.value.hint

    def test_the_extension_is_that_of_both(self, format: Format) -> None:
        inner = get_format(format.name)
        assert format.extension.startswith(f"{inner.extension}.")
        assert format.name == inner.name
        assert format.claims == inner.claims


#: Reads a bomb and tells how many bytes the process grew at most, and what came of it.
MEASURED = """
import sys
from dagster_buckets.errors import DecodeError
from dagster_buckets.formats.bytes import BytesFormat
from dagster_buckets.formats.compression import compressed
from dagster_buckets.formats.limits import Limit
from dagster_buckets.objects import Body
from dagster_buckets.testing.formats import payload_of

def peak():
    # Linux hands the peak of the parent on to getrusage of its children, but not to this file.
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        import resource
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

codec, path = sys.argv[1:]
small = compressed(BytesFormat(), codec, Limit())
small.decode(payload_of(small.encode(b"x")), None)  # what is loaded is no growth
bomb = payload_of(Body.of(open(path, "rb").read()))
before = peak()
try:
    compressed(BytesFormat(), codec, Limit(max_bytes=32 * 1024 * 1024)).decode(bomb, None)
except DecodeError as error:
    assert "33,554,432" in str(error), error
    print(peak() - before)
"""


@pytest.mark.parametrize("codec", CODECS)
def test_a_bomb_is_refused_before_it_takes_memory(codec: Codec, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    with pa.OSFile(str(path), "wb") as file, pa.CompressedOutputStream(file, codec) as packer:
        for _ in range(300):
            packer.write(bytes(MIB))
    assert path.stat().st_size < 2 * MIB
    command = [sys.executable, "-c", MEASURED, codec, str(path)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - ours
    grown = int(done.stdout)
    print(f"{codec}: {path.stat().st_size:,} bytes, grown by {grown / MIB:.1f} MiB")  # noqa: T201
    assert grown < 64 * MIB
