"""How long it takes to write documents and frames, and how much memory they take.

It measures, on a private Redis: settled host-days; a live tick of the last eight buckets of 100 and
1,000 hosts, part by part; and how much memory each form takes in Redis. It does not measure how
rows become usage: see :mod:`benchmarks.settle_day`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fleet import KEPT, as_live, invent, name
from benchmarks.turns import machine, median, number, replaced, table
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.measures import COUNTS, MEASURES
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window
from snapshot_assets.domain.usage import Entries, MachineCount, Usage
from snapshot_assets.store.transport.base import RedisBase
from snapshot_assets.store.writing.frames import FrameWriter
from snapshot_assets.store.writing.writer import SnapshotWriter
from snapshot_assets.timing import Timer
from snapshot_assets_tests.support.servers import Redis

LIVE_BUCKETS = 8
# 50 hosts in 30 days.
HOST_DAYS = 1_500


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.write_store")
    parser.add_argument("--settled-hosts", type=int, default=20)
    parser.add_argument("--live-hosts", type=int, nargs="*", default=[100, 1_000])
    parser.add_argument("--turns", type=int, default=7)
    options = parser.parse_args(arguments)
    midnight = int(time.time()) // DAY_SECONDS * DAY_SECONDS
    day = Window(midnight - DAY_SECONDS, midnight)
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="write-store-") as folder,
        Redis(Path(folder)) as server,
        SnapshotWriter(port=server.port, retention=KEPT) as writer,
    ):
        print(_settling(writer, day, options.settled_hosts), flush=True)
        print(_ticks(writer, day, options.live_hosts, options.turns), flush=True)
        print(_memory(writer, day, options.settled_hosts), flush=True)


def _settling(writer: SnapshotWriter, day: Window, hosts: int) -> str:
    """Write host-days one by one, as the settled path does."""
    usages = [invent(name(i), day, i) for i in range(hosts)]
    whole, frames = [], []
    for i, usage in enumerate(usages):
        with _timed() as seconds:
            begun = time.perf_counter()
            writer.replace([name(i)], day, usage, "settled")
            whole.append((time.perf_counter() - begun) * 1e3)
        frames.append(seconds["frames"] * 1e3)
    count = len(usages[0])
    rows = []
    for form, spent in (
        ("documents and frames", whole),
        ("of it frames", frames),
        ("of it documents", [a - b for a, b in zip(whole, frames, strict=True)]),
    ):
        rows.append([form, number(median(spent)), f"{count / median(spent) * 1e3:,.0f}"])
    return table("Writing settled host-days", ["", "ms a host-day", "buckets a second"], rows)


def _ticks(writer: SnapshotWriter, day: Window, counts: Sequence[int], turns: int) -> str:
    rows = []
    window = Window(day.end - LIVE_BUCKETS * BUCKET_SECONDS, day.end)
    for count in counts:
        usage = together([as_live(invent(name(i), window, i)) for i in range(count)])
        hosts = [name(i) for i in range(count)]
        spent = [_tick(writer, hosts, window, usage) for _ in range(turns)]
        parts = {part: median([turn[part] for turn in spent]) for part in spent[0]}
        rows.append([f"{count:,}", *map(number, parts.values())])
    header = ["hosts", "total ms", "documents", "validate", "frames", "wire", "MB sent"]
    return table(f"A live tick of {LIVE_BUCKETS} buckets", header, rows)


def _tick(
    writer: SnapshotWriter, hosts: Sequence[str], window: Window, usage: Usage
) -> dict[str, float]:
    """Milliseconds of each part; ``frames`` is the packing, ``wire`` every exchange with Redis."""
    timer = Timer()
    with _timed() as seconds:
        begun = time.perf_counter()
        report = writer.replace(hosts, window, usage, "live", timer)
        total = time.perf_counter() - begun
    return {
        "total": total * 1e3,
        "documents": timer.seconds["document"] * 1e3,
        "validate": timer.seconds["validate"] * 1e3,
        "frames": (seconds["frames"] - seconds["wire in frames"]) * 1e3,
        "wire": seconds["wire"] * 1e3,
        "MB": (report.written_bytes + report.frame_bytes) / 1e6,
    }


def _memory(writer: SnapshotWriter, day: Window, count: int) -> str:
    """The memory of each form, measured with several hosts, so that allocation evens out."""
    hosts = [name(i) for i in range(count)]
    usages = [invent(host, day, i) for i, host in enumerate(hosts)]

    def write_documents() -> None:
        for host, usage in zip(hosts, usages, strict=True):
            bodies = documents(usage)
            writer._replace_documents([host], list(day.buckets()), bodies, "settled")

    def write_frames(live: bool) -> None:
        for host, usage in zip(hosts, usages, strict=True):
            given = as_live(usage) if live else usage
            frames = FrameWriter(writer.base, writer.keys, writer.clock)
            frames.replace([host], day, given, "live" if live else "settled")

    def write_summaries() -> None:
        write_frames(False)
        keys = [writer.keys.frame(host, day.start) for host in hosts]
        writer.base.execute([("DEL", *keys)])

    settled, summaries = (
        _grown(writer, lambda: write_frames(False)),
        _grown(writer, write_summaries),
    )
    forms = {
        "documents": _grown(writer, write_documents),
        "5-minute frames, settled": settled - summaries,
        "5-minute frames, live": _grown(writer, lambda: write_frames(True)),
        "summaries by hour and day": summaries,
    }
    rows = [
        [form, f"{grown / count / 1e3:,.1f}", f"{grown / count * HOST_DAYS / 1e6:,.0f}"]
        for form, grown in forms.items()
    ]
    return table("Redis' memory", ["", "kB a host-day", "MB for 50 hosts, 30 days"], rows)


def _grown(writer: SnapshotWriter, work: Callable[[], None]) -> float:
    """The bytes by which the work makes an empty server grow."""
    writer.base.execute([("FLUSHALL", "SYNC")])
    before = writer.base.memory().used_bytes
    work()
    return writer.base.memory().used_bytes - before


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Measure the seconds that go into frames, and into exchanges with the server."""
    seconds = {"frames": 0.0, "wire": 0.0, "wire in frames": 0.0}
    execute, replace_frames = RedisBase.execute, FrameWriter.replace
    inside = False

    def timed_execute(self: RedisBase, commands: Any) -> Any:
        begun = time.perf_counter()
        try:
            return execute(self, commands)
        finally:
            spent = time.perf_counter() - begun
            seconds["wire"] += spent
            seconds["wire in frames"] += spent * inside

    def timed_frames(*arguments: Any) -> int:
        nonlocal inside
        begun, inside = time.perf_counter(), True
        try:
            return replace_frames(*arguments)
        finally:
            inside = False
            seconds["frames"] += time.perf_counter() - begun

    with (
        replaced(RedisBase, "execute", timed_execute),
        replaced(FrameWriter, "replace", timed_frames),
    ):
        yield seconds


def together(usages: Sequence[Usage]) -> Usage:
    """The usage of several hosts in one object; all hosts have the same owners."""
    offsets = np.cumsum([0, *(len(usage) for usage in usages)])[:-1]
    return replace(
        usages[0],
        hosts=tuple(usage.hosts[0] for usage in usages),
        host_index=np.repeat(np.arange(len(usages)), [len(usage) for usage in usages]),
        start=np.concatenate([usage.start for usage in usages]),
        coverage=np.concatenate([usage.coverage for usage in usages]),
        counts={c: np.concatenate([usage.counts[c] for usage in usages]) for c in COUNTS},
        settled=np.concatenate([usage.settled for usage in usages]),
        totals={m: np.concatenate([u.totals[m] for u in usages]) for m in MEASURES},
        entries={
            m: Entries(
                bucket_index=np.concatenate(
                    [
                        u.entries[m].bucket_index + first
                        for u, first in zip(usages, offsets, strict=True)
                    ]
                ),
                owner_index=np.concatenate([u.entries[m].owner_index for u in usages]),
                micro=np.concatenate([u.entries[m].micro for u in usages]),
            )
            for m in MEASURES
        },
        machine={
            m: MachineCount(
                used=np.concatenate([u.machine[m].used for u in usages]),
                capacity=np.concatenate([u.machine[m].capacity for u in usages]),
            )
            for m in MEASURES
        },
    )


if __name__ == "__main__":
    main()
