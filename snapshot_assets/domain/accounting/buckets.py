"""The fifth chapter: spans are split at bucket borders, and CPU and memory are summed by bucket.

These are rules 7 and 8 of docs/accounting.md.
The chapter before makes the spans. :func:`snapshot_assets.domain.accounting.account` turns the sums
into aggregates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snapshot_assets.domain.accounting.codes import Floats, Ints, ordered_codes, sums
from snapshot_assets.domain.accounting.rows import Process
from snapshot_assets.domain.accounting.snapshots import Snapshots
from snapshot_assets.domain.accounting.spans import Spans
from snapshot_assets.domain.time import BUCKET_SECONDS, Window

BYTES_PER_GB = 1e9


@dataclass(frozen=True, slots=True)
class Pieces:
    """Spans split at bucket borders; each array has one element for each piece.

    Attributes:
        span_index: position of the span.
        bucket: start of the bucket, epoch seconds.
        seconds: length of the piece.
        share: the piece's share of the span's length.
    """

    span_index: Ints
    bucket: Ints
    seconds: Floats
    share: Floats


def split_at_borders(start: Floats, end: Floats, window: Window) -> Pieces:
    """Split spans ``(start, end]`` at bucket borders and keep the pieces that lie in the window."""
    first = np.maximum(np.floor_divide(start, BUCKET_SECONDS), window.start // BUCKET_SECONDS)
    last = np.minimum(np.ceil(end / BUCKET_SECONDS) - 1, window.end // BUCKET_SECONDS - 1)
    count = np.maximum(last - first + 1, 0).astype(np.int64)
    span_index = np.repeat(np.arange(len(start)), count)
    step = np.arange(len(span_index)) - np.repeat(np.cumsum(count) - count, count)
    bucket = (first[span_index].astype(np.int64) + step) * BUCKET_SECONDS
    length = (end - start)[span_index]
    seconds = np.minimum(end[span_index], bucket + BUCKET_SECONDS) - np.maximum(
        start[span_index], bucket
    )
    return Pieces(span_index, bucket, seconds, seconds / length)


@dataclass(frozen=True, slots=True)
class Cover:
    """The covered (bucket, host) pairs, sorted by both; one element for each pair.

    Attributes:
        bucket: start of the bucket, epoch seconds.
        host: code of the host.
        seconds: covered seconds of the bucket.
        snapshots: number of snapshots whose span overlaps the bucket.
        cover_index: for each piece (not for each pair) the position of its pair.
    """

    bucket: Ints
    host: Ints
    seconds: Floats
    snapshots: Ints
    cover_index: Ints


def cover_buckets(snapshots: Snapshots, piece_snapshot: Ints, pieces: Pieces) -> Cover:
    """How long each bucket of each host is covered.

    Args:
        snapshots: of all hosts.
        piece_snapshot: for each piece the position of its snapshot.
        pieces: the spans of the covered snapshots, split at bucket borders.
    """
    hosts = int(snapshots.host.max(initial=0)) + 1
    cover_index, keys = ordered_codes(pieces.bucket * hosts + snapshots.host[piece_snapshot])
    bucket, host = np.divmod(keys, hosts)
    seconds = sums(cover_index, pieces.seconds, len(keys))
    count = np.bincount(cover_index, minlength=len(keys))
    return Cover(bucket, host, np.minimum(seconds, BUCKET_SECONDS), count, cover_index)


@dataclass(frozen=True, slots=True)
class Use:
    """Core-seconds and byte-seconds of each (bucket, entry) with any use.

    Excluded accounts are among the entries, with their CPU alone.
    """

    bucket: Ints
    entry: Ints
    cpu_seconds: Floats
    byte_seconds: Floats


def use_of_buckets(
    process: Process,
    snapshots: Snapshots,
    spans: Spans,
    piece_snapshot: Ints,
    pieces: Pieces,
    window: Window,
) -> Use:
    """Sum CPU and memory by bucket and entry.

    Nearly all spans equal the span of their snapshot. These are summed by (snapshot, entry) first,
    and only the few sums are split at bucket borders. The other spans, of processes that were born
    between two snapshots or are missing from a snapshot, are split one by one.
    """
    entries = max(len(process.entry_keys), 1)
    with_cpu = spans.attributed & (spans.cpu_seconds > 0)
    whole = with_cpu & (spans.start == snapshots.previous[snapshots.snapshot_index])
    alone = np.flatnonzero(with_cpu & ~whole)

    group, group_keys = ordered_codes(snapshots.snapshot_index * entries + process.entry)
    cpu = sums(group, np.where(whole, spans.cpu_seconds, 0.0), len(group_keys))
    rss = sums(group, np.where(spans.counts_for_memory, process.rss, 0.0), len(group_keys))
    used = (cpu > 0) | (rss > 0)
    cpu, rss, group_keys = cpu[used], rss[used], group_keys[used]
    group_snapshot, group_entry = np.divmod(group_keys, entries)

    # Each group goes to every piece of its snapshot's span.
    pieces_of = np.bincount(piece_snapshot, minlength=len(snapshots.time))
    first_piece = np.cumsum(pieces_of) - pieces_of
    count = pieces_of[group_snapshot]
    repeat = np.repeat(np.arange(len(group_keys)), count)
    step = np.arange(len(repeat)) - np.repeat(np.cumsum(count) - count, count)
    piece = first_piece[group_snapshot[repeat]] + step

    single = split_at_borders(spans.start[alone], spans.end[alone], window)
    single_row = alone[single.span_index]

    bucket = np.concatenate([pieces.bucket[piece], single.bucket])
    entry = np.concatenate([group_entry[repeat], process.entry[single_row]])
    code, keys = ordered_codes(bucket * entries + entry)
    cpu_pieces = [cpu[repeat] * pieces.share[piece], spans.cpu_seconds[single_row] * single.share]
    rss_pieces = [rss[repeat] * pieces.seconds[piece], np.zeros(len(single_row))]
    bucket_of_key, entry_of_key = np.divmod(keys, entries)
    return Use(
        bucket=bucket_of_key,
        entry=entry_of_key,
        cpu_seconds=sums(code, np.concatenate(cpu_pieces), len(keys)),
        byte_seconds=sums(code, np.concatenate(rss_pieces), len(keys)),
    )
