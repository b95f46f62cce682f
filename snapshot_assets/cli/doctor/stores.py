"""Checks of Redis and of the lake."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from snapshot_assets.cli.doctor.finding import Check, Finding
from snapshot_assets.cli.shared import current_settings, duration
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.errors import SettingsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.register import read_register
from snapshot_assets.pipeline.changed import ChangedDay, by_day, changed
from snapshot_assets.settings import Settings
from snapshot_assets.store.reading.presence import Progress
from snapshot_assets.store.reading.reader import RedisReader


def redis_checks(reader: RedisReader, now: float, progress: list[Progress]) -> list[Check]:
    """The checks of Redis.

    Args:
        reader: of the Redis.
        now: epoch seconds.
        progress: gets what Redis says of the live path, for the checks of hosts.
    """
    return [
        partial(_answers, reader, progress),
        partial(_memory, reader),
        partial(_freshness, reader, now),
    ]


def lake_checks(settings: Settings, reader: RedisReader | None) -> list[Check]:
    """The checks of the lake.

    Args:
        settings: as they are.
        reader: of the Redis; None if it does not answer, or if settings are wrong.
    """
    checks: list[Check] = [partial(_writable, settings)]
    return checks if reader is None else [*checks, partial(_settled_days, settings, reader)]


def _answers(reader: RedisReader, progress: list[Progress]) -> Iterator[Finding]:
    reader.base.ping()
    version = reader.base.server_version()
    yield Finding("ok", "redis", f"{reader.address} answers, version {version}")
    progress.append(reader.progress())


def _memory(reader: RedisReader) -> Iterator[Finding]:
    memory = reader.base.memory()
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


def _freshness(reader: RedisReader, now: float) -> Iterator[Finding]:
    newest = reader.last_update()
    if newest is None:
        yield Finding(
            "warning",
            "redis",
            "Redis holds no document",
            "run 'snapshot-assets live', and 'snapshot-assets settle --from DAY --to DAY'",
        )
        return
    age = now - newest.timestamp()
    old = age > 3 * BUCKET_SECONDS
    yield Finding(
        "warning" if old else "ok",
        "redis",
        f"the newest bucket is {newest.isoformat()}, {duration(age)} ago",
        "run 'snapshot-assets live' every five minutes" if old else "",
    )


def _writable(settings: Settings) -> Iterator[Finding]:
    lake = Lake(settings.lake)
    lake.require_writable()
    yield Finding("ok", "lake", f"{lake.base} can be written")
    read_register(lake)


def _settled_days(settings: Settings, reader: RedisReader) -> Iterator[Finding]:
    """Whether the settled days were made with the settings of now."""
    try:
        now = current_settings(settings)
    except SettingsError:
        return  # the checks of the settings say so
    found = by_day(changed(Lake(settings.lake), reader, now))
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
