"""Measurements behind decisions of the design: a small table for each, from one run.

``python -m benchmarks.choices`` compares decoders, protocol versions, commands per request, the
garbage collector on and off, and compressions of a day.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import importlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from benchmarks.fleet import KEPT, invent, name
from benchmarks.turns import Work, machine, median, number, p99, replaced, table, taking_turns
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window
from snapshot_assets.domain.usage import Usage
from snapshot_assets.store.packing import sections
from snapshot_assets.store.packing.days import pack_day, unpack_day
from snapshot_assets.store.reading import documents as reading
from snapshot_assets.store.reading.gc_pause import gc_paused
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.writing.writer import SnapshotWriter
from snapshot_assets_tests.support.servers import Redis

HOST = name(0)
BATCHES = (100, 300, 1_000, 3_000)
CODECS: dict[str, tuple[str, int | None]] = {
    "zstd 1": ("zstd", 1),
    "zstd 3": ("zstd", 3),
    "zstd 9": ("zstd", 9),
    "lz4": ("lz4_raw", None),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choices")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each table's turns, about")
    parser.add_argument("--objects", type=int, default=500_000, help="alive in the host program")
    options = parser.parse_args(arguments)
    midnight = int(time.time()) // DAY_SECONDS * DAY_SECONDS
    window = Window(midnight - options.days * DAY_SECONDS, midnight)
    usage = invent(HOST, window, 0)
    print(machine())
    print(_decoders(usage, options.seconds), flush=True)
    print(_codecs(usage, options.seconds), flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="choices-") as folder,
        Redis(Path(folder)) as server,
        SnapshotWriter(port=server.port, retention=KEPT, clock=lambda: midnight) as writer,
    ):
        writer.replace([HOST], window, usage, "settled")
        print(_protocols(server, window, options.seconds), flush=True)
        print(_batches(server, window, options.seconds), flush=True)
        print(_collector(server, window, options.seconds, options.objects), flush=True)


def _decoders(usage: Usage, seconds: float) -> str:
    bodies = documents(usage)["body"].tolist()
    decoders: dict[str, Callable[[bytes], Any]] = {"orjson": orjson.loads, "json": json.loads}
    try:
        decoders["msgspec"] = importlib.import_module("msgspec").json.decode
    except ModuleNotFoundError:
        print("msgspec is not installed: left out")

    def decode_all(decode: Callable[[bytes], Any]) -> list[Any]:
        with gc_paused():
            return [decode(body) for body in bodies]

    spent = taking_turns({n: partial(decode_all, d) for n, d in decoders.items()}, seconds)
    rows = [
        [decoder, number(median(turns) / len(bodies) * 1e3), number(p99(turns) / len(bodies) * 1e3)]
        for decoder, turns in spent.items()
    ]
    size = sum(map(len, bodies)) / len(bodies)
    return table(f"Decoding a document of {size:,.0f} bytes", ["", "µs", "p99"], rows)


class _Plain:
    """No compression."""

    def compress(self, text: bytes, asbytes: bool) -> bytes:
        return text

    def decompress(self, text: Any, size: int, asbytes: bool) -> bytes:
        return bytes(text)


def _codecs(usage: Usage, seconds: float) -> str:
    days = list(usage.by_host_day())
    works: dict[str, Work] = {}
    sizes = {}
    for label in (*CODECS, "none"):
        kind, level = CODECS.get(label, ("", None))
        codec = pa.Codec(kind, compression_level=level) if kind else _Plain()

        def pack(codec: Any) -> list[bytes]:
            with replaced(sections, "_CODEC", codec):
                return [pack_day(part, day) for _, day, part in days]

        def unpack(codec: Any, blobs: list[bytes]) -> list[Usage]:
            with replaced(sections, "_CODEC", codec):
                return [
                    unpack_day(HOST, blob, day, ["cpu"])
                    for blob, (_, day, _) in zip(blobs, days, strict=True)
                ]

        blobs = pack(codec)
        sizes[label] = sum(map(len, blobs)) / len(blobs)
        works[f"{label}/pack"] = partial(pack, codec)
        works[f"{label}/unpack"] = partial(unpack, codec, blobs)
    spent = taking_turns(works, seconds)
    rows = []
    for label, size in sizes.items():
        times = [median(spent[f"{label}/{way}"]) / len(days) * 1e3 for way in ("pack", "unpack")]
        rows.append([label, f"{size:,.0f}", *map(number, times)])
    return table("Compressing a day", ["", "bytes", "pack µs", "unpack CPU µs"], rows)


def _protocols(server: Redis, window: Window, seconds: float) -> str:
    works: dict[str, Work] = {}
    readers = []
    for protocol in (2, 3):
        reader = _reader(server, window, protocol=protocol)
        readers.append(reader)
        works |= _reads(f"RESP{protocol}", reader, window)
    rows = _rows(taking_turns(works, 3 * seconds))
    for reader in readers:
        reader.close()
    return table("Protocol version, documents", _header(window), rows)


def _batches(server: Redis, window: Window, seconds: float) -> str:
    works: dict[str, Work] = {}
    with _reader(server, window) as reader:
        for size in BATCHES:
            for form, work in _reads(f"{size:,} commands", reader, window).items():
                works[form] = partial(_with, reading, "BUCKETS_PER_REQUEST", size, work)
        return table(
            "Commands per request, documents",
            _header(window),
            _rows(taking_turns(works, 3 * seconds)),
        )


def _collector(server: Redis, window: Window, seconds: float, objects: int) -> str:
    kept = [[i] for i in range(objects)]
    spent: dict[str, list[float]] = {}
    with _reader(server, window) as reader:
        # One after the other, as a turn may leave garbage that the next turn would collect.
        for label, pausing in (("held off", gc_paused), ("as usual", nullcontext)):
            for form, work in _reads(label, reader, window).items():
                gc.collect()
                with replaced(reading, "gc_paused", pausing):
                    spent |= taking_turns({form: work}, seconds)
    title = f"Garbage collector, documents, with {len(kept):,} live objects"
    return table(title, _header(window), _rows(spent))


def _reader(server: Redis, window: Window, **options: Any) -> RedisReader:
    return RedisReader(port=server.port, retention=KEPT, clock=lambda: window.end, **options)


def _header(window: Window) -> list[str]:
    days = (window.end - window.start) // DAY_SECONDS
    return ["", "24 h ms", "p99", f"{days} days ms", "p99"]


def _reads(label: str, reader: RedisReader, window: Window) -> dict[str, Work]:
    """A host's documents of 24 hours and of the whole window."""
    end = dt.datetime.fromtimestamp(window.end - BUCKET_SECONDS, dt.UTC)
    starts = {
        "24 h": end - dt.timedelta(days=1),
        "whole": dt.datetime.fromtimestamp(window.start, dt.UTC),
    }
    return {
        f"{label}/{span}": partial(reader.get_data, HOST, start, end)
        for span, start in starts.items()
    }


def _rows(spent: dict[str, list[float]]) -> list[list[str]]:
    labels = dict.fromkeys(form.rpartition("/")[0] for form in spent)
    return [
        [
            label,
            *(
                number(kind(spent[f"{label}/{span}"]))
                for span in ("24 h", "whole")
                for kind in (median, p99)
            ),
        ]
        for label in labels
    ]


def _with(module: Any, attribute: str, value: Any, work: Work) -> Any:
    with replaced(module, attribute, value):
        return work()


if __name__ == "__main__":
    main()
