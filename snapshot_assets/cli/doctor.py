"""``snapshot-assets doctor``: checks source, Redis and lake, and prints a line for each finding.

The checks are functions that yield findings. They change nothing, except that the check of the lake
writes and removes a small file.
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

from snapshot_assets.cli.shared import console, current_settings, open_reader, open_source
from snapshot_assets.domain.sampling import cadences, likely_rss_unit
from snapshot_assets.domain.schemas import SchemaError
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso
from snapshot_assets.errors import SnapshotAssetsError, SourceError, SourceOutageError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.changed import ChangedDay, by_day, changed
from snapshot_assets.settings import Settings
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.reading.reader import RedisReader

Level = Literal["ok", "warning", "error"]

_STYLE = {"ok": "green", "warning": "yellow", "error": "bold red"}
_RECENT_SECONDS = 3_600
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, and the fix if the result needs one."""

    level: Level
    subject: str
    text: str
    fix: str = ""


@click.command()
def doctor() -> None:
    """Check every connection; report problems and fixes.

    Source: table, columns, indexes, cadence, silent hosts, duplicate collectors, unit of rss.
    Redis: connection, eviction policy, age of the newest bucket. Lake: whether it can be written.
    Settled days: whether they were made with the settings of now.
    Ends with code 1 if there is an error.
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
        yield from _errors_too("source", _source(source, settings))
    with open_reader(settings) as reader:
        yield from _errors_too("redis", _redis(reader))
    yield from _errors_too("lake", _lake(settings))
    yield from _errors_too("settings", _settled_days(settings))


def _errors_too(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings; an error that ends them becomes the last finding."""
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
            "the source is read row by row, which is several times slower than in columns",
            "use a mysql://user:password@host:port/database URL without further options",
        )
    if missing_keys:
        yield Finding(
            "error",
            "rows",
            f"{missing_keys:,} rows have no host, pid or time, so they belong to no partition",
            "repair the collector and delete these rows",
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
            "start the collectors; there are no newer live documents",
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
    try:
        with source.connect() as connection:
            inspector = sa.inspect(connection)
            key: Any = inspector.get_pk_constraint(name, schema=schema or None)
            indexes: list[Any] = [key["constrained_columns"]]
            indexes += [i["column_names"] for i in inspector.get_indexes(name, schema or None)]
            quote = connection.dialect.identifier_preparer.quote
    except SourceOutageError:
        raise
    except SourceError:
        yield Finding(
            "ok", "index", f"this user may not see the indexes of {source.table.name!r}, if any"
        )
        return
    starts = [[str(column).casefold() for column in columns[:2]] for columns in indexes]
    host, time_column = (source.table.physical(c) for c in ("host", "snapshot_time_epoch"))
    table = ".".join(quote(part) for part in source.table.name.split("."))
    for columns, purpose in (
        ((time_column,), "live refreshes and host lists scan the whole table"),
        ((host, time_column), "settling reads the rows of every host to get those of one host"),
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
            f"no index starts with ({', '.join(columns)}): {purpose}",
            f"CREATE INDEX {index} ON {table} ({listed});",
        )


def _recent(source: ProcessSource, settings: Settings, last: float) -> Iterator[Finding]:
    try:
        rows = source.read_sql(last - _RECENT_SECONDS, last + 1)
    except SchemaError as error:
        yield Finding("error", "rows", str(error), "repair the collector")
        return
    found = cadences(source.snapshots(last - _RECENT_SECONDS, last + 1))
    intervals = [c.median_interval_seconds for c in found if c.snapshots > 1]
    if intervals:
        typical = sorted(intervals)[len(intervals) // 2]
        yield Finding("ok", "cadence", f"{len(found)} hosts, typically every {typical:.0f} s")
    for cadence in found:
        if cadence.longest_interval_seconds > settings.max_gap:
            yield Finding(
                "warning",
                "cadence",
                f"{cadence.host} was silent for {_duration(cadence.longest_interval_seconds)}",
                "a gap has no documents; the collector should sleep until a fixed time, not for a "
                "fixed duration",
            )
        elif cadence.median_interval_seconds > BUCKET_SECONDS * 1.1:
            yield Finding(
                "warning",
                "cadence",
                f"{cadence.host} is sampled every {cadence.median_interval_seconds:.0f} s",
                f"sample at least every {BUCKET_SECONDS} s; else short-lived processes are missed",
            )
        if cadence.has_two_collectors:
            yield Finding(
                "warning",
                "collector",
                f"{cadence.host} seems to have two collectors: {cadence.duplicate_rows} rows are "
                f"duplicates, {cadence.crowded_snapshots} of {cadence.snapshots} snapshots are "
                "close together",
                "stop one of them; the CPU is counted once, but the rows are stored twice",
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
            f"looks like {unit}, but is read as {settings.rss_unit}",
            f"set SNAPSHOT_RSS_UNIT={unit} and settle again",
        )


def _silent(host: str, seconds: float | None) -> Finding:
    how_long = "over an hour" if seconds is None else _duration(seconds)
    return Finding(
        "warning",
        "silent host",
        f"{host} has sent nothing for {how_long}",
        "check that the machine and its collector run",
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
            f"may evict documents ({memory.policy} at {memory.limit_bytes / 1e6:,.0f} MB); an "
            "evicted document looks like a gap",
            "CONFIG SET maxmemory-policy noeviction, or use a Redis server for the documents alone",
        )
    if memory.limit_bytes and memory.used_bytes > 0.9 * memory.limit_bytes:
        yield Finding("warning", "redis", "its memory is over 90 % full", "raise maxmemory")
    newest = reader.last_update()
    if newest is None:
        yield Finding(
            "warning",
            "redis",
            "Redis holds no document",
            "run 'snapshot-assets live', and 'snapshot-assets settle --from DAY --to DAY'",
        )
        return
    age = time() - newest.timestamp()
    late = age > 3 * BUCKET_SECONDS
    yield Finding(
        "warning" if late else "ok",
        "redis",
        f"the newest bucket is {newest.isoformat()}, {_duration(age)} ago",
        "run 'snapshot-assets live' every five minutes" if late else "",
    )


def _lake(settings: Settings) -> Iterator[Finding]:
    lake = Lake(settings.lake)
    lake.require_writable()
    yield Finding("ok", "lake", f"{settings.lake} can be written")


def _settled_days(settings: Settings) -> Iterator[Finding]:
    """Whether the settled days were made with the settings of now."""
    with open_reader(settings) as reader:
        found = by_day(changed(Lake(settings.lake), reader, current_settings(settings)))
    for differences, days in _by_differences(found).items():
        host_days = sum(len(one.hosts) for one in days)
        yield Finding(
            "warning",
            "settled days",
            f"{host_days:,} host-days from {days[0].day} to {days[-1].day} were made otherwise: "
            f"{'; '.join(differences)}",
            "snapshot-assets settle --changed",
        )
    if not found:
        yield Finding("ok", "settled days", "all were made with the settings of now")


def _by_differences(found: list[ChangedDay]) -> dict[tuple[str, ...], list[ChangedDay]]:
    days: dict[tuple[str, ...], list[ChangedDay]] = {}
    for one in found:
        days.setdefault(one.differences, []).append(one)
    return days


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "an unknown time"
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} seconds"
