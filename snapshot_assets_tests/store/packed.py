"""What the packed bytes in ``data/packed/`` say, written down by hand, and how they came to be.

One file for each text and version: ``day.v1.bin`` is a day as version 1 of that layout writes it.
``bucket.v1.bin`` has two lines, a settled bucket and a live one. A file is never written again:
Redis keeps such bytes for a year. After a layout's version went up, ``python -m
snapshot_assets_tests.store.packed`` adds the files of the new version.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from snapshot_assets.domain.measures import GROUPINGS, Count, Grouping, Measure
from snapshot_assets.domain.summary import summarise
from snapshot_assets.domain.usage import UNKNOWN, Usage
from snapshot_assets.store.packing.buckets import BUCKET_VERSION, pack_buckets
from snapshot_assets.store.packing.days import DAY_VERSION, pack_day
from snapshot_assets.store.packing.summaries import SUMMARY_VERSION, pack_summary
from snapshot_assets_tests.support.domain.usages import Bucket, Machine, usage_of

FOLDER = Path(__file__).parent.parent / "data" / "packed"
HOST = "alice"
DAY = 1_795_305_600  # 2026-11-22, UTC

ANA_R, ANA_GCC, BO_R = ("ana", "R"), ("ana", "gcc"), ("bö", "R")

# Of a whole bucket, of half of one, of an idle one, and of one that hardly a snapshot speaks for.
# What is listed is a millionth more than the total where rounding says so.
SETTLED_BUCKET: Bucket = (
    *(500_000, 2, True),
    {
        "cpu": (0, {ANA_R: 400_000, BO_R: 1_600_000}),
        "mem": (-1, {BO_R: 24_000_000_000}),
    },
)
LIVE_BUCKET: Bucket = (*(1, 300, False), {"cpu": (5, {}), "mem": (0, {ANA_R: 1})})
BUCKETS: Mapping[int, Bucket] = {
    DAY: (
        *(1_000_000, 5, True),
        {
            "cpu": (200_000, {ANA_R: 1_000_000, ANA_GCC: 300_000}),
            "mem": (-1, {BO_R: 3_000_001}),
        },
    ),
    DAY + 300: SETTLED_BUCKET,
    DAY + 3_600: (*(333_333, 1, True), {"cpu": (0, {}), "mem": (0, {})}),
    DAY + 86_100: LIVE_BUCKET,
}


# The kernel counted everything of the first bucket, the CPU alone of the second, the size of the
# machine alone of the third, and nothing of the last.
MACHINES: Mapping[int, Machine] = {
    DAY: {"cpu": (2_000_000, 64_000_000), "mem": (7_000_002, 512_000_000_000)},
    DAY + 300: {"cpu": (3_000_001, UNKNOWN)},
    DAY + 3_600: {"cpu": (UNKNOWN, 128_000_000), "mem": (0, 512_000_000_000)},
}


class Amounts(NamedTuple):
    """Of an interval and measure: total and rest, then each name; millionth-seconds and peak."""

    total: tuple[int, int]
    other: tuple[int, int]
    names: Mapping[Grouping, Mapping[tuple[str, ...], tuple[int, int]]]


class Counted(NamedTuple):
    """What the kernel counted: covered millionths, seconds, of users, peak, capacity."""

    covered: int = 0
    seconds: int = 0
    users_seconds: int = 0
    peak: int = UNKNOWN
    capacity: int = UNKNOWN


class Interval(NamedTuple):
    """An interval: millionths of a bucket that are covered, whether settled, and the amounts.

    What the kernel counted is not in texts of versions before 3.
    """

    covered: int
    settled: bool
    amounts: Mapping[Measure, Amounts]
    machine: Mapping[Measure, Counted]


NOTHING = Counted()
PAIRS, USERS, COMMS = GROUPINGS
NOBODY: Mapping[Grouping, Mapping[tuple[str, ...], tuple[int, int]]] = {
    PAIRS: {},
    USERS: {},
    COMMS: {},
}
# 450 core-seconds of a whole bucket and 300 of half of one. A user's commands peak together.
_CPU = Amounts(
    (750_000_000, 2_000_000),
    (60_000_000, 200_000),
    {
        PAIRS: {
            ANA_R: (360_000_000, 1_000_000),
            ANA_GCC: (90_000_000, 300_000),
            BO_R: (240_000_000, 1_600_000),
        },
        USERS: {("ana",): (450_000_000, 1_300_000), ("bö",): (240_000_000, 1_600_000)},
        COMMS: {("R",): (600_000_000, 2_000_000), ("gcc",): (90_000_000, 300_000)},
    },
)
_MEM_TOTAL = (3_600_899_999_850, 23_999_999_999)
_BO_MEM = (3_600_900_000_300, 24_000_000_000)
# Two cores in a whole bucket, three in half of one; users had all 450 and 300 core-seconds of them.
_CPU_COUNTED = Counted(1_500_000, 1_050_000_150, 750_000_000, 3_000_001, 64_000_000)
_MEM_COUNTED = Counted(1_000_000, 2_100_000_600, 900_000_000, 7_000_002, 512_000_000_000)
HOURS: Mapping[int, Interval] = {
    DAY: Interval(
        1_500_000,
        True,
        {
            "cpu": _CPU,
            "mem": Amounts(
                _MEM_TOTAL,
                (-450, -1),
                {PAIRS: {BO_R: _BO_MEM}, USERS: {("bö",): _BO_MEM}, COMMS: {("R",): _BO_MEM}},
            ),
        },
        {"cpu": _CPU_COUNTED, "mem": _MEM_COUNTED},
    ),
    DAY + 3_600: Interval(
        333_333,
        True,
        {"cpu": Amounts((0, 0), (0, 0), NOBODY), "mem": Amounts((0, 0), (0, 0), NOBODY)},
        {
            "cpu": NOTHING._replace(capacity=128_000_000),
            "mem": Counted(333_333, 0, 0, 0, 512_000_000_000),
        },
    ),
    DAY + 82_800: Interval(
        1,
        False,
        {
            "cpu": Amounts((0, 5), (0, 5), NOBODY),
            "mem": Amounts(
                (0, 1),
                (0, 0),
                {PAIRS: {ANA_R: (0, 1)}, USERS: {("ana",): (0, 1)}, COMMS: {("R",): (0, 1)}},
            ),
        },
        {"cpu": NOTHING, "mem": NOTHING},
    ),
}
DAYS: Mapping[int, Interval] = {
    DAY: Interval(
        1_833_334,
        False,
        {
            "cpu": _CPU,
            "mem": Amounts(
                _MEM_TOTAL,
                (-450, 0),
                {
                    PAIRS: {ANA_R: (0, 1), BO_R: _BO_MEM},
                    USERS: {("ana",): (0, 1), ("bö",): _BO_MEM},
                    COMMS: {("R",): _BO_MEM},
                },
            ),
        },
        {
            "cpu": _CPU_COUNTED._replace(capacity=128_000_000),
            "mem": _MEM_COUNTED._replace(covered=1_333_333),
        },
    )
}
# The version of a layout since which its texts have a count; older texts say 0.
COUNTS_SINCE: Mapping[str, Mapping[Count, int]] = {
    "bucket": {"snapshots": 1},
    "day": {"snapshots": 1},
}
# The version of a layout since which its texts have what the kernel counted.
MACHINE_SINCE = 3
# What each text says: in a bucket, the first count stands for all, see ``usage_of``.
CONTENT: Mapping[str, Mapping[int, Bucket]] = {
    "bucket-settled": {DAY + 300: SETTLED_BUCKET},
    "bucket-live": {DAY + 86_100: LIVE_BUCKET},
    "day": BUCKETS,
}
SUMMARIES: Mapping[str, Mapping[int, Interval]] = {"summary-hour": HOURS, "summary-day": DAYS}
VERSIONS: Mapping[str, int] = {
    "bucket-settled": BUCKET_VERSION,
    "bucket-live": BUCKET_VERSION,
    "day": DAY_VERSION,
    "summary-hour": SUMMARY_VERSION,
    "summary-day": SUMMARY_VERSION,
}


def usage() -> Usage:
    """What all files are made of."""
    return usage_of(HOST, BUCKETS, MACHINES)


def packed() -> dict[str, bytes]:
    """What today's code writes, by the name of the file."""
    whole = usage()
    buckets = pack_buckets(whole)
    return {
        f"bucket.v{BUCKET_VERSION}.bin": buckets[DAY + 300] + b"\n" + buckets[DAY + 86_100],
        f"day.v{DAY_VERSION}.bin": pack_day(whole, DAY),
        f"summary-hour.v{SUMMARY_VERSION}.bin": pack_summary(summarise(whole, "hour"), DAY),
        f"summary-day.v{SUMMARY_VERSION}.bin": pack_summary(summarise(whole, "day"), DAY),
    }


def kept(text: str, version: int) -> bytes:
    """The bytes of a text as a version wrote it."""
    return _text(text, (FOLDER / _file(text, version)).read_bytes())


def newest(text: str) -> bytes:
    """A text as today's code writes it."""
    return _text(text, packed()[_file(text, VERSIONS[text])])


def _file(text: str, version: int) -> str:
    return f"{'bucket' if text.startswith('bucket') else text}.v{version}.bin"


def _text(text: str, file: bytes) -> bytes:
    if not text.startswith("bucket"):
        return file
    settled, live = file.split(b"\n")
    return settled if text == "bucket-settled" else live


if __name__ == "__main__":
    for name, text in packed().items():
        if not (FOLDER / name).exists():
            (FOLDER / name).write_bytes(text)
