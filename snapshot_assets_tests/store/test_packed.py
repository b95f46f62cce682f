"""Packed bytes: each version ever written is read, and no damaged bit becomes other content."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.measures import (
    COUNTS,
    GROUPINGS,
    MEASURES,
    STEP_SECONDS,
    Count,
    Measure,
    Resolution,
)
from snapshot_assets.domain.summary import Summary, summarise
from snapshot_assets.domain.usage import UNKNOWN, Usage
from snapshot_assets.store.packing.buckets import pack_buckets, unpack_buckets
from snapshot_assets.store.packing.damage import PackingError
from snapshot_assets.store.packing.days import pack_day, unpack_day
from snapshot_assets.store.packing.sections import Column, Layout, Sections, pack
from snapshot_assets.store.packing.summaries import pack_summary, unpack_summary
from snapshot_assets_tests.store import packed
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT
from snapshot_assets_tests.support.domain.usages import usages

TEXTS = packed.VERSIONS
EVERY_VERSION = [
    (text, version) for text, newest in TEXTS.items() for version in range(1, newest + 1)
]
# Coverage, counts, whether settled, rest and entries by measure, the kernel's count by measure.
Content = tuple[int, dict[Count, int], bool, Mapping[Measure, Any], Mapping[Measure, Any]]


def written_down(usage: Usage) -> dict[int, Content]:
    """What is in each bucket, nearly in the form in which ``packed`` says it by hand."""
    found: dict[int, Content] = {}
    for i, start in enumerate(usage.start.tolist()):
        parts = {}
        for measure in MEASURES:
            entries = usage.entries[measure]
            of_bucket = np.flatnonzero(entries.bucket_index == i)
            listed = {
                usage.owners[owner]: micro
                for owner, micro in zip(
                    entries.owner_index[of_bucket].tolist(),
                    entries.micro[of_bucket].tolist(),
                    strict=True,
                )
            }
            parts[measure] = int(usage.totals[measure][i]) - sum(listed.values()), listed
        found[start] = (
            int(usage.coverage[i]),
            {count: int(values[i]) for count, values in usage.counts.items()},
            bool(usage.settled[i]),
            parts,
            {m: (int(c.used[i]), int(c.capacity[i])) for m, c in usage.machine.items()},
        )
    return found


def intervals(read: Callable[[Any], Summary]) -> dict[int, packed.Interval]:
    """What is in each interval, in the form in which ``packed`` says it by hand."""
    by_grouping = {grouping: read(grouping) for grouping in GROUPINGS}
    first = by_grouping[GROUPINGS[0]]
    found = {}
    for i, start in enumerate(first.start.tolist()):
        amounts, machine = {}, {}
        for measure in MEASURES:
            part = first.parts[measure]
            names: dict[Any, Mapping[Any, tuple[int, int]]] = {}
            for grouping, summary in by_grouping.items():
                group = summary.parts[measure].groups[grouping]
                known = summary.names(grouping)
                names[grouping] = {
                    known[group.name_index[row]]: (
                        int(group.amount.seconds[row]),
                        int(group.amount.peak[row]),
                    )
                    for row in np.flatnonzero(group.interval_index == i)
                }
            amounts[measure] = packed.Amounts(
                (int(part.total.seconds[i]), int(part.total.peak[i])),
                (int(part.other.seconds[i]), int(part.other.peak[i])),
                names,
            )
            counted = part.counted
            machine[measure] = packed.Counted(
                *(
                    int(column[i])
                    for column in (
                        counted.covered,
                        counted.amount.seconds,
                        counted.users_seconds,
                        counted.amount.peak,
                        counted.capacity,
                    )
                )
            )
        found[start] = packed.Interval(
            int(first.covered[i]), bool(first.settled[i]), amounts, machine
        )
    return found


def said(text: str, blob: bytes) -> object:
    """The content of a text of this kind."""
    if text.startswith("bucket"):
        return written_down(unpack_buckets(packed.HOST, [blob]))
    if text == "day":
        return written_down(unpack_day(packed.HOST, blob, packed.DAY))
    resolution: Resolution = "hour" if text == "summary-hour" else "day"
    return intervals(lambda by: unpack_summary(blob, resolution, packed.DAY, MEASURES, by))


def expected(text: str, version: int) -> object:
    has_machine = version >= packed.MACHINE_SINCE
    if text in packed.SUMMARIES:
        intervals_ = packed.SUMMARIES[text]
        if has_machine:
            return intervals_
        nothing = dict.fromkeys(MEASURES, packed.NOTHING)
        return {start: one._replace(machine=nothing) for start, one in intervals_.items()}
    since = packed.COUNTS_SINCE[text.partition("-")[0]]
    return {
        bucket: (
            coverage,
            {c: first + i if version >= since[c] else 0 for i, c in enumerate(COUNTS)},
            settled,
            parts,
            {
                measure: (packed.MACHINES if has_machine else {})
                .get(bucket, {})
                .get(measure, (UNKNOWN, UNKNOWN))
                for measure in MEASURES
            },
        )
        for bucket, (coverage, first, settled, parts) in packed.CONTENT[text].items()
    }


@pytest.mark.parametrize(("text", "version"), EVERY_VERSION)
def test_bytes_of_every_version_say_what_was_written_down_by_hand(text: str, version: int) -> None:
    assert said(text, packed.kept(text, version)) == expected(text, version)


def test_every_version_up_to_today_s_is_kept_as_bytes_and_none_is_left_over() -> None:
    files = {file.name for file in packed.FOLDER.iterdir()}
    texts = {(text.removesuffix("-settled").removesuffix("-live"), v) for text, v in EVERY_VERSION}
    assert files == {f"{text}.v{version}.bin" for text, version in texts}


def test_the_writer_still_writes_exactly_the_kept_bytes() -> None:
    """Other bytes need another version; a new LZ4 that packs otherwise would show here too."""
    for name, blob in packed.packed().items():
        assert blob == (packed.FOLDER / name).read_bytes(), name


@pytest.mark.parametrize("text", TEXTS)
def test_every_single_bit_of_a_text_is_under_its_checksum(text: str) -> None:
    blob = packed.newest(text)
    assert said(text, blob) == expected(text, TEXTS[text])
    for bit in range(8 * len(blob)):
        with pytest.raises(PackingError):
            said(text, flipped(blob, [bit]))


def flipped(blob: bytes, bits: list[int]) -> bytes:
    found = bytearray(blob)
    for bit in bits:
        found[bit // 8] ^= 1 << bit % 8
    return bytes(found)


@given(usages(), st.sampled_from(sorted(TEXTS)), st.data())
def test_a_few_flipped_bits_never_become_other_content(
    usage: Usage, text: str, data: st.DataObject
) -> None:
    """Up to five, as many as lie between the marks of a settled and of a live bucket."""
    if text.startswith("bucket"):
        buckets = list(pack_buckets(usage).values())
        if not buckets:
            return
        blob = data.draw(st.sampled_from(buckets))
    elif text == "day":
        blob = pack_day(usage, MIDNIGHT)
    else:
        blob = pack_summary(summarise(usage, "hour" if "hour" in text else "day"), MIDNIGHT)
    anywhere = st.integers(0, 8 * len(blob) - 1)
    in_the_head = st.integers(0, 8 * min(len(blob), 32) - 1)
    bits = st.lists(st.one_of(in_the_head, anywhere), min_size=1, max_size=5, unique=True)
    with pytest.raises(PackingError):
        said(text, flipped(blob, data.draw(bits)))


def test_a_live_bucket_does_not_become_a_settled_one() -> None:
    for text, other in (("bucket-live", b"S"), ("bucket-settled", b"L")):
        with pytest.raises(PackingError, match="checksum"):
            said(text, other + packed.newest(text)[1:])


def test_a_text_of_one_version_is_not_read_as_another() -> None:
    for text, newest in TEXTS.items():
        for version in range(1, newest + 1):
            blob = packed.kept(text, version)
            for other in range(1, newest + 1):
                if other != version:
                    at = 1 if text.startswith("bucket") else 4
                    number = b"%d" % other if text.startswith("bucket") else bytes([other])
                    with pytest.raises(PackingError, match="checksum"):
                        said(text, blob[:at] + number + blob[at + 1 :])


def test_another_number_of_columns_is_an_error_that_says_so() -> None:
    """Also where the checksum is right."""
    columns = (Column("a"), Column("b"), Column("c"))
    table = {column.name: np.arange(6) for column in columns}
    blob = pack(Layout(2, 300, (columns,)), [("ana", "R")], [table])
    assert Sections(blob, Layout(2, 300, (columns,))).table(0)["c"].tolist() == list(range(6))
    for other in (columns[:1], columns[:2], (*columns, Column("d"))):
        with pytest.raises(PackingError, match=f"has 3 columns and should have {len(other)}"):
            Sections(blob, Layout(2, 300, (other,))).table(0)
    forged = bytearray(blob)
    forged[16 + 8] = 3
    struct.pack_into("<I", forged, 12, zlib.crc32(forged[16:], zlib.crc32(forged[:12])))
    with pytest.raises(PackingError, match="has 3 columns and should have 2"):
        Sections(bytes(forged), Layout(2, 300, (columns,))).owners()
    for body, message in (
        (b"[1,1,1,1,1,1,1,1,3,[],[]]", "has 8 columns and should have 9"),
        (b"[1,1,1,1,1,1,1,1,1,1,3,[],[]]", "has 10 columns and should have 9"),
        (b"[1,1,1,1,1,1,1,1,1,4,[],[]]", "entries should have 3 columns"),
        (b'[1,1,1,1,1,1,1,1,1,3,["ana","R"],[]]', "last entry is not whole"),
    ):
        with pytest.raises(PackingError, match=message):
            unpack_buckets("alice", [bucket_text(body)])
    with pytest.raises(PackingError, match="damaged"):
        unpack_buckets(
            "alice", [bucket_text(b"[1,1,1,1,1,1,1,1,1,3,[],[]]"), bucket_text(b"[1,1]")]
        )


def bucket_text(body: bytes) -> bytes:
    """A bucket of version 3, with a right checksum."""
    return b"S3%08x%b" % (zlib.crc32(b"S3" + body), body)


def test_a_column_that_a_version_lacks_reads_as_zeros() -> None:
    old = (Column("start"), Column("cpu"))
    new = (*old, Column("processes", since=3))
    blob = pack(Layout(2, 300, (old,)), [], [{"start": np.arange(2), "cpu": np.ones(2)}])
    table = Sections(blob, Layout(3, 300, (new,))).table(0)
    assert {name: values.tolist() for name, values in table.items()} == {
        "start": [0, 1],
        "cpu": [1, 1],
        "processes": [0, 0],
    }


def test_a_column_that_a_table_does_not_have_is_not_packed() -> None:
    layout = Layout(2, 300, ((Column("start"),),))
    for given_columns in ({}, {"start": np.arange(2), "cpu": np.arange(2)}, {"cpu": np.arange(2)}):
        with pytest.raises(ValueError, match="columns"):
            pack(layout, [], [given_columns])
    with pytest.raises(ValueError, match="start is negative: -1"):
        pack(layout, [], [{"start": np.array([-1])}])


def test_resolutions_of_a_summary_are_not_mixed_up() -> None:
    for text, resolution in (("summary-hour", "day"), ("summary-day", "hour")):
        step = STEP_SECONDS["day" if resolution == "hour" else "hour"]
        with pytest.raises(PackingError, match=f"it is of {step} s"):
            unpack_summary(packed.newest(text), resolution, packed.DAY, ["cpu"], ())  # type: ignore[arg-type]
