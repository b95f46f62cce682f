"""The proof: the database counts the CPU-seconds a second time, and Redis is compared with that.

It is an independent path: window functions in SQL over the rows of the table. It follows the same
contract as :mod:`snapshot_assets.domain.accounting` and shares no code with that module. It is too
slow to produce the numbers, and fast enough to check them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import BUCKET_SECONDS, Window
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import RAW_ROWS
from snapshot_assets.pipeline.inspection import kept_documents, kept_window
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.reading.reader import Document, RedisReader

Verdict = Literal["match", "mismatch", "inconclusive"]

# Documents round cores and coverage to 6 decimals.
_ROUNDING = 0.5e-6
# The database adds in another order.
_RELATIVE = 1e-9
_SHORTEST_SPAN_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Proof:
    """Redis compared with the source, for one host and window.

    Attributes:
        verdict: ``inconclusive`` if rows arrived during the proof or since the documents were made.
        source_cpu_seconds: core-seconds counted by the database.
        redis_cpu_seconds: core-seconds of the documents.
        tolerance_cpu_seconds: the largest difference that rounding explains.
        why: the reason for an inconclusive verdict.
    """

    verdict: Verdict
    source_cpu_seconds: float
    redis_cpu_seconds: float
    tolerance_cpu_seconds: float
    why: str = ""


def prove(
    source: ProcessSource,
    host: str,
    window: Window,
    documents: dict[int, Document],
    rules: AccountingRules,
    rows_read: int | None,
    accounted: Window | None = None,
) -> Proof:
    """Compare the documents of a host with its rows in the source.

    Args:
        source: the table.
        host: the host's name.
        window: the buckets to compare.
        documents: the host's documents in the window, by bucket start.
        rules: gaps, slack, exclusions.
        rows_read: how many rows the documents were made from; None if that is not known.
        accounted: the window that those rows were read for, if it differs from ``window``, as for
            a day whose beginning is past Redis' retention.

    Raises:
        SourceError: the source cannot be read.
    """
    accounted = accounted or window
    before = _rows(source, host, accounted, rules)
    expected = source_cpu_seconds(source, host, window, rules)
    after = _rows(source, host, accounted, rules)
    found = tolerance = 0.0
    for document in documents.values():
        cores = document["cpu"]["command"]["cpu_norm"]
        covered = document["meta"]["coverage"] * BUCKET_SECONDS
        found += cores * covered
        tolerance += _ROUNDING * (covered + cores * BUCKET_SECONDS)
    tolerance += _RELATIVE * expected
    if before != after:
        verdict, why = _inconclusive("rows arrived during the proof")
    elif rows_read is not None and rows_read != after:
        verdict, why = _inconclusive(
            f"the source has {after:,} rows now, the documents were made from {rows_read:,}"
        )
    else:
        verdict, why = ("match" if abs(found - expected) <= tolerance else "mismatch"), ""
    return Proof(verdict, expected, found, tolerance, why)


def prove_host_days(
    source: ProcessSource,
    lake: Lake,
    reader: RedisReader,
    host_days: Collection[HostDay],
    rules: AccountingRules,
    seconds: float,
) -> list[tuple[HostDay, Proof]]:
    """Prove as many of the host-days as the time allows, and at least one.

    The order of the hosts differs from day to day, so that over time every host is proved.

    Args:
        source: the table.
        lake: says how many rows the documents were made from.
        reader: the Redis with the documents.
        host_days: the candidates.
        rules: gaps, slack, exclusions.
        seconds: no proof begins later than this many seconds after the call.

    Raises:
        SourceError: the source cannot be read.
        LakeError: a file of the lake is damaged.
        StoreError: Redis cannot be read.
    """
    deadline = time.monotonic() + seconds
    found: list[tuple[HostDay, Proof]] = []
    for host_day in sorted(host_days, key=_shuffled):
        if found and time.monotonic() > deadline:
            break
        window = kept_window(reader, host_day.window)
        held = kept_documents(reader, host_day.host, window)
        raw = lake.entry(RAW_ROWS, *host_day)
        rows = None if raw is None else raw.rows
        proof = prove(source, host_day.host, window, held, rules, rows, host_day.window)
        found.append((host_day, proof))
    return found


def source_cpu_seconds(
    source: ProcessSource, host: str, window: Window, rules: AccountingRules
) -> float:
    """Attributed core-seconds of a host in a window, as the database counts them.

    Raises:
        SourceError: the source cannot be read.
    """
    query = _query(source, host, window, rules)
    with source.connect() as connection:
        found = connection.execute(query).all()
    return sum(
        float(seconds)
        for name, username, seconds in found
        if name == host and not rules.excludes(username)
    )


def _shuffled(host_day: HostDay) -> bytes:
    return hashlib.sha256(f"{host_day.day}|{host_day.host}".encode()).digest()


def _inconclusive(why: str) -> tuple[Verdict, str]:
    return "inconclusive", why


def _rows(source: ProcessSource, host: str, window: Window, rules: AccountingRules) -> int:
    tally = source.tally(*rules.read_range(window), hosts=[host]).get(host)
    return tally.rows if tally else 0


def _query(
    source: ProcessSource, host: str, window: Window, rules: AccountingRules
) -> sa.Executable:
    """Core-seconds by host and user.

    The host is in the result because a collation may let the query match other hosts, too.
    """
    read = source.rows_of([host], *rules.read_range(window)).cte("read_rows")
    # Floats from the start: MySQL rounds a quotient of decimals to four digits.
    raw = sa.select(
        sa.cast(read.c.host, sa.LargeBinary).label("host_bytes"),
        *(read.c[name] for name in ("host", "username", "pid", "rss")),
        *(
            (read.c[name] * sa.literal_column("1e0")).label(short)
            for name, short in (("snapshot_time_epoch", "t"), ("cputimes", "cpu"), ("etimes", "e"))
        ),
    ).cte("raw")
    numbered = sa.select(
        raw,
        sa.func.row_number()
        .over(
            partition_by=(raw.c.host_bytes, raw.c.pid, raw.c.t),
            # The contract decides by cputimes, then by rss. Among equals, the proof orders by the
            # other columns, as the accounting does.
            order_by=(
                raw.c.cpu.desc(),
                raw.c.rss.desc(),
                sa.func.coalesce(raw.c.e, -1).desc(),
                sa.cast(raw.c.username, sa.LargeBinary).desc(),
            ),
        )
        .label("place"),
    ).cte("numbered")
    rows = sa.select(numbered).where(numbered.c.place == 1).cte("process_rows")

    times = sa.select(rows.c.host_bytes, rows.c.t).distinct().cte("times")
    before = sa.func.lag(times.c.t).over(partition_by=times.c.host_bytes, order_by=times.c.t)
    snapshots = sa.select(times, before.label("t_prev")).cte("snapshots")

    def earlier(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return sa.func.lag(column).over(
            partition_by=(rows.c.host_bytes, rows.c.pid), order_by=rows.c.t
        )

    pairs = (
        sa.select(
            rows,
            snapshots.c.t_prev,
            earlier(rows.c.t).label("t1"),
            earlier(rows.c.cpu).label("cpu1"),
            earlier(rows.c.e).label("e1"),
        )
        .join(
            snapshots,
            sa.and_(snapshots.c.host_bytes == rows.c.host_bytes, snapshots.c.t == rows.c.t),
        )
        .cte("pairs")
    )
    c, slack = pairs.c, rules.slack_seconds
    apart = c.t - c.t1
    continued = sa.and_(
        c.t1.is_not(None),
        c.cpu >= c.cpu1,
        sa.or_(c.e.is_(None), c.e >= apart - slack),
        sa.or_(c.e.is_(None), c.e1.is_(None), sa.func.abs(c.e - c.e1 - apart) <= slack),
    )
    kinds = sa.select(pairs, sa.case((continued, 1), else_=0).label("continued")).cte("kinds")
    k = kinds.c
    born = sa.and_(
        k.continued == 0, k.t_prev.is_not(None), k.e.is_not(None), k.e <= k.t - k.t_prev + slack
    )
    birth = sa.case((k.e < _SHORTEST_SPAN_SECONDS, k.t - _SHORTEST_SPAN_SECONDS), else_=k.t - k.e)
    since = sa.case((k.continued == 1, k.t1), (birth < k.t_prev, k.t_prev), else_=birth)
    silence = sa.case((k.continued == 1, k.t - k.t1), else_=k.t - k.t_prev)
    used = sa.case((k.continued == 1, k.cpu - k.cpu1), else_=k.cpu)
    spans = (
        sa.select(
            k.host,
            k.host_bytes,
            k.username,
            k.t,
            since.label("since"),
            used.label("used"),
        )
        .where(sa.or_(k.continued == 1, born), silence <= rules.max_gap_seconds)
        .cte("spans")
    )
    s = spans.c
    low = sa.case((s.since < window.start, window.start), else_=s.since)
    high = sa.case((s.t > window.end, window.end), else_=s.t)
    share = sa.func.sum(s.used * (high - low) / (s.t - s.since))
    return (
        sa.select(sa.func.min(s.host), sa.func.min(s.username), share)
        .where(s.since < window.end, s.t > window.start)
        .group_by(s.host_bytes, sa.cast(s.username, sa.LargeBinary))
    )
