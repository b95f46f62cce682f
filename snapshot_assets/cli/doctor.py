"""``snapshot-assets doctor``: looks at everything the settings point at, a line per finding.

What is looked at lives in functions that yield findings; nothing is changed anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from time import time
from typing import Any, Literal

import click
import sqlalchemy as sa
from rich.text import Text

from snapshot_assets.cli.shared import console, open_reader, open_source
from snapshot_assets.domain.sampling import cadences, likely_rss_unit
from snapshot_assets.domain.schemas import SchemaError
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.settings import Settings
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.reading.reader import RedisReader

Level = Literal["ok", "warning", "error"]

_STYLE = {"ok": "green", "warning": "yellow", "error": "bold red"}
_RECENT_SECONDS = 3_600
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and the fix where it needs one."""

    level: Level
    subject: str
    text: str
    fix: str = ""


@click.command()
def doctor() -> None:
    """Check every connection; report problems and fixes.

    Source: table, columns, indexes, cadence, silent hosts, duplicate collectors, the unit of rss.
    Redis: reachable, eviction policy, age of the newest bucket. Lake: writable. Ends with code 1 if
    there is an error.
    """
    settings = Settings.load()
    worst = False
    for finding in _all(settings):
        worst |= finding.level == "error"
        line = Text.assemble(
            (f"{finding.level:<8}", _STYLE[finding.level]), f"{finding.subject}: {finding.text}"
        )
        console.print(line)
        if finding.fix:
            console.print(Text(f"        fix: {finding.fix}"), soft_wrap=True)
    if worst:
        raise click.exceptions.Exit(1)


def _all(settings: Settings) -> Iterator[Finding]:
    with open_source(settings) as source:
        yield from _told("source", _source(source, settings))
    with open_reader(settings) as reader:
        yield from _told("redis", _redis(reader))
    yield from _told("lake", _lake(settings))


def _told(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except SnapshotAssetsError as error:
        yield Finding("error", subject, str(error))


# --- source -----------------------------------------------------------------------------------


def _source(source: ProcessSource, settings: Settings) -> Iterator[Finding]:
    missing_keys = source.rows_without_key()
    span = source.span()
    yield Finding(
        "ok", "source", f"{source!r} answers, table {source.table.name!r} has its columns"
    )
    if source.url.get_backend_name() != "sqlite" and not source.columnar:
        yield Finding(
            "warning",
            "source",
            "is read row by row, several times slower than in columns",
            "use a mysql://user:password@host:port/database URL without further options",
        )
    if missing_keys:
        yield Finding(
            "error",
            "rows",
            f"{missing_keys:,} rows have no host, pid or time and belong to no partition",
            "mend the collector; delete these rows",
        )
    yield from _indexes(source)
    if span is None:
        yield Finding("warning", "rows", "the table is empty", "start a collector")
        return
    first, last = span
    yield Finding("ok", "rows", f"from {bucket_iso(int(first))} to {bucket_iso(int(last))}")
    age = time() - last
    if age > settings.max_gap:
        yield Finding(
            "warning",
            "rows",
            f"the newest snapshot is {_duration(age)} old",
            "start the collectors; live documents end there",
        )
    elif age < -60:
        yield Finding(
            "error",
            "rows",
            f"the newest snapshot is {_duration(-age)} in the future",
            "set the clocks (NTP); snapshot_time_epoch is seconds since 1970 in UTC",
        )
    yield from _recent(source, settings, last)


def _indexes(source: ProcessSource) -> Iterator[Finding]:
    schema, _, name = source.table.name.rpartition(".")
    with source.connect() as connection:
        inspector = sa.inspect(connection)
        key: Any = inspector.get_pk_constraint(name, schema=schema or None)
        indexes: list[Any] = [key["constrained_columns"]]
        indexes += [i["column_names"] for i in inspector.get_indexes(name, schema or None)]
        quote = connection.dialect.identifier_preparer.quote
    starts = [[str(column).casefold() for column in columns[:2]] for columns in indexes]
    host, moment = (source.table.physical(c) for c in ("host", "snapshot_time_epoch"))
    table = ".".join(quote(part) for part in source.table.name.split("."))
    for columns, purpose in (
        ((moment,), "live refreshes and host lists scan the whole table"),
        ((host, moment), "settling reads every host's rows to get one host's"),
    ):
        wanted = [column.casefold() for column in columns]
        if any(start[: len(wanted)] == wanted for start in starts):
            yield Finding("ok", "index", f"there is one on ({', '.join(columns)})")
            continue
        listed = ", ".join(quote(column) for column in columns)
        index = quote("snapshot_by_" + "_".join(columns))
        yield Finding(
            "warning",
            "index",
            f"none starts with ({', '.join(columns)}): {purpose}",
            f"CREATE INDEX {index} ON {table} ({listed});",
        )


def _recent(source: ProcessSource, settings: Settings, last: float) -> Iterator[Finding]:
    try:
        rows = source.read_sql(last - _RECENT_SECONDS, last + 1)
    except SchemaError as error:
        yield Finding("error", "rows", str(error), "mend the collector")
        return
    found = cadences(source.snapshots(last - _RECENT_SECONDS, last + 1))
    intervals = [c.median_interval_seconds for c in found if c.snapshots > 1]
    if intervals:
        typical = sorted(intervals)[len(intervals) // 2]
        yield Finding("ok", "cadence", f"{len(found)} hosts, every {typical:.0f} s typically")
    for cadence in found:
        if cadence.longest_interval_seconds > settings.max_gap:
            yield Finding(
                "warning",
                "cadence",
                f"{cadence.host} was silent for {_duration(cadence.longest_interval_seconds)}",
                "a gap has no documents; let the collector sleep until a fixed time, not for one",
            )
        elif cadence.median_interval_seconds > BUCKET_SECONDS * 1.1:
            yield Finding(
                "warning",
                "cadence",
                f"{cadence.host} is sampled every {cadence.median_interval_seconds:.0f} s",
                f"sample at least every {BUCKET_SECONDS} s; short-lived processes are missed",
            )
        if cadence.has_two_collectors:
            yield Finding(
                "warning",
                "collector",
                f"{cadence.host} seems to have two: {cadence.duplicate_rows} rows twice, "
                f"{cadence.crowded_snapshots} of {cadence.snapshots} snapshots close together",
                "stop one; CPU is not doubled by it, but rows are",
            )
        if last - cadence.newest_epoch > settings.max_gap:
            yield _silent(cadence.host, last - cadence.newest_epoch)
    for host in sorted(set(source.hosts(last - _DAY_SECONDS, last + 1)) - {c.host for c in found}):
        yield _silent(host, None)
    unit = likely_rss_unit(rows, settings.rss_unit)
    if unit is not None and unit != settings.rss_unit:
        yield Finding(
            "error",
            "rss",
            f"looks like {unit}, is read as {settings.rss_unit}",
            f"set SNAPSHOT_RSS_UNIT={unit} and settle again",
        )


def _silent(host: str, seconds: float | None) -> Finding:
    how_long = "over an hour" if seconds is None else _duration(seconds)
    return Finding(
        "warning",
        "silent host",
        f"{host} has sent nothing for {how_long}",
        "see whether the machine and its collector run",
    )


# --- redis and lake ---------------------------------------------------------------------------


def _redis(reader: RedisReader) -> Iterator[Finding]:
    reader.base.ping()
    memory, version = reader.base.memory(), reader.base.server_version()
    yield Finding("ok", "redis", f"{reader.address} answers, version {version}")
    if memory.may_evict:
        yield Finding(
            "warning",
            "redis",
            f"may evict documents ({memory.policy} at {memory.limit_bytes / 1e6:,.0f} MB), which "
            "looks like a gap",
            "CONFIG SET maxmemory-policy noeviction, or give it a server of its own",
        )
    if memory.limit_bytes and memory.used_bytes > 0.9 * memory.limit_bytes:
        yield Finding("warning", "redis", "is over 90 % full", "raise maxmemory")
    newest = reader.last_update()
    if newest is None:
        yield Finding(
            "warning",
            "redis",
            "holds no document",
            "snapshot-assets live; snapshot-assets settle --from DAY --to DAY",
        )
        return
    age = time() - newest.timestamp()
    late = age > 3 * BUCKET_SECONDS
    yield Finding(
        "warning" if late else "ok",
        "redis",
        f"the newest bucket is {newest.isoformat()}, begun {_duration(age)} ago",
        "run 'snapshot-assets live' every five minutes" if late else "",
    )


def _lake(settings: Settings) -> Iterator[Finding]:
    lake = Lake(settings.lake)
    lake.require_writable()
    yield Finding("ok", "lake", f"{settings.lake} can be written")


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "an unknown time"
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
