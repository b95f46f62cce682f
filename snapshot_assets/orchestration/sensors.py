"""What heals by itself: late rows, nights that were missed, a Redis that was emptied.

A sensor looks and asks for runs; it mends nothing itself. A server that does not answer fails the
tick, which Dagster shows; the next tick tries again.
"""

import base64
import datetime as dt
import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS
from snapshot_assets.orchestration.jobs import (
    DAY_TAG,
    LIVE_JOB,
    PATH_TAG,
    RESTORE_JOB,
    SETTLE_JOB,
    active_runs,
)
from snapshot_assets.orchestration.partitions import HostDay, known_hosts
from snapshot_assets.orchestration.resources import (
    LakeResource,
    RedisResource,
    RulesResource,
    SourceResource,
)
from snapshot_assets.orchestration.schedules import settle_requests
from snapshot_assets.settings import Settings
from snapshot_assets.source.query import Tally

_RUNNING = dg.DefaultSensorStatus.RUNNING
# The nightly schedule comes first; what it has not done an hour after its time is made up for.
_NIGHT_SECONDS = 3_600 + 45 * 60
# A partition that failed on these very rows is tried again after this long.
_AGAIN_SECONDS = 6 * 3_600
_CURSOR_BYTES = 48_000


def sensors(
    settings: Settings, partitions: dg.MultiPartitionsDefinition, jobs: Iterable[Any]
) -> list[dg.SensorDefinition]:
    """All sensors but the one that tells of failures; they run unless they are stopped.

    Args:
        settings: intervals, and how many days to look through.
        partitions: of the settled assets.
        jobs: those that the sensors may launch among them.
    """

    @dg.sensor(
        name="late_rows",
        job_name=SETTLE_JOB,
        minimum_interval_seconds=5 * settings.watch_interval,
        default_status=_RUNNING,
        description="Compares the rows of each settled day and host in the source with those it "
        "was made from, one day a look, and settles again what changed, failed or was missed.",
    )
    def late_rows(
        context: dg.SensorEvaluationContext,
        source: SourceResource,
        lake: LakeResource,
        rules: RulesResource,
    ) -> dg.SensorResult:
        now = time.time()
        memory = _Memory.load(context.cursor, now)
        days = _over(now, settings)
        if not days:
            return dg.SensorResult(skip_reason="no day is over yet", cursor=memory.dump())
        day = memory.next_day(days)
        cursor = memory.dump
        if running := active_runs(context.instance, {DAY_TAG: str(day)}):
            told = f"{day} is being settled by run {running[0].run_id}"
            return dg.SensorResult(skip_reason=told, cursor=cursor())
        with source.open() as table, lake.open() as files:
            window, accounting = Window.of_day(day), rules.accounting()
            own = accounting.own_range(window)
            tally = table.tally(*accounting.read_range(window), own=own)
            wanted = _unsettled(files, context.instance, partitions, day, tally, context.log)
        tried = {
            host: why for host, why in wanted.items() if memory.may_try(day, host, tally.get(host))
        }
        requests = list(settle_requests(context.instance, day, tried, "late"))
        memory.remember(day, {host: tally.get(host) for host in tried}, now)
        for host, why in tried.items():
            context.log.info(f"{host} on {day}: {why}")
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor())
        waiting = f"; {len(wanted)} failed before and wait" if wanted else ""
        return dg.SensorResult(
            skip_reason=f"{day}: {len(tally)} hosts looked at, nothing new{waiting}",
            cursor=cursor(),
        )

    @dg.sensor(
        name="redis_lost",
        jobs=[job for job in jobs if job.name in (RESTORE_JOB, LIVE_JOB)],
        minimum_interval_seconds=settings.watch_interval,
        default_status=_RUNNING,
        description="Notices a Redis that was emptied, replaced or set back, and has it restored "
        "from the lake, and today published anew.",
    )
    def redis_lost(
        context: dg.SensorEvaluationContext, lake: LakeResource, redis: RedisResource
    ) -> dg.SensorResult:
        with redis.writer() as writer, lake.open() as files:
            if writer.progress().complete:
                return dg.SensorResult(skip_reason="Redis knows that it is complete")
            if running := active_runs(context.instance, {"snapshot_assets/restores": "redis"}):
                return dg.SensorResult(skip_reason=f"being restored by run {running[0].run_id}")
            days = files.days(AGGREGATES)
            if not days:
                # Or the lake is not mounted yet: nothing is called complete.
                return dg.SensorResult(skip_reason="nothing is settled yet")
            address = writer.address
        context.log.warning(
            f"Redis at {address} is new or was emptied; putting {len(days)} settled days there"
        )
        requests = [
            dg.RunRequest(
                job_name=RESTORE_JOB,
                run_key=f"restore {time.time():.0f}",
                tags={"snapshot_assets/restores": "redis"},
            )
        ]
        if not active_runs(context.instance, {PATH_TAG: "live"}):
            requests.insert(
                0, dg.RunRequest(job_name=LIVE_JOB, run_key=f"restore live {time.time():.0f}")
            )
        return dg.SensorResult(run_requests=requests)

    return [late_rows, redis_lost]


def _over(now: float, settings: Settings) -> list[dt.date]:
    """The days to look through: over, settled by the night if all went well, and not too old."""
    last = dt.datetime.fromtimestamp(now - _NIGHT_SECONDS, dt.UTC).date() - dt.timedelta(days=1)
    days = [last - dt.timedelta(days=i) for i in reversed(range(settings.late_days))]
    return [day for day in days if day >= settings.start_date]


def _unsettled(
    files: Lake,
    instance: dg.DagsterInstance,
    partitions: dg.MultiPartitionsDefinition,
    day: dt.date,
    tally: Mapping[str, Tally],
    log: logging.Logger,
) -> dict[str, str]:
    """The hosts whose day is not what the source says now, and why.

    A file that cannot be read counts as none, so that it is made again.
    """

    def tell(damage: LakeError) -> None:
        log.warning(str(damage))

    raw = {entry.host: entry for entry in files.entries(RAW, day, tell)}
    aggregates = {entry.host: entry for entry in files.entries(AGGREGATES, day, tell)}
    known = set(known_hosts(instance))
    keys = {host: HostDay(day, host).key for host in raw if host in known}
    status = (
        instance.get_status_by_partition(dg.AssetKey(SNAPSHOTS), list(keys.values()), partitions)
        or {}
    )
    found: dict[str, str] = {}
    for host, rows in tally.items():
        kept = raw.get(host)
        if kept is None:
            found[host] = "was never settled"
            continue
        newest = kept.note["newest_epoch"]
        # Fewer rows mean that the source was purged: the settled day is better.
        if rows.rows > kept.rows or newest is None or rows.newest_epoch > newest:
            found[host] = f"{rows.rows:,} rows, settled from {kept.rows:,}"
    for host, kept in raw.items():
        made = aggregates.get(host)
        if host in found:
            continue
        if made is None or (made.note["raw_rows"], made.note["raw_newest_epoch"]) != (
            kept.rows,
            kept.note["newest_epoch"],
        ):
            found[host] = "its aggregates are older than its rows"
        elif host in keys and status.get(keys[host]) != dg.AssetPartitionStatus.MATERIALIZED:
            found[host] = "its documents were not written"
    return found


@dataclass(slots=True)
class _Memory:
    """The sensor's cursor: whose turn it is, and what was tried on which rows in the last hours.

    Attributes:
        turn: looks so far.
        tried: when, and the fingerprints of all that was tried then; the newest last.
    """

    turn: int = 0
    tried: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def load(cls, cursor: str | None, now: float) -> "_Memory":
        known = json.loads(cursor) if cursor else {}
        tried = [(at, prints) for at, prints in known.get("tried", []) if now - at < _AGAIN_SECONDS]
        return cls(known.get("turn", 0), tried)

    def dump(self) -> str:
        tried = self.tried
        # Every tick is stored with it, on MySQL in 64 kB. The oldest are then tried again sooner.
        while sum(len(prints) for _, prints in tried) > _CURSOR_BYTES:
            tried = tried[1:]
        return json.dumps({"turn": self.turn, "tried": tried})

    def next_day(self, days: list[dt.date]) -> dt.date:
        """Every second look is at yesterday, where most rows arrive; the others take turns."""
        self.turn += 1
        if self.turn % 2 or len(days) == 1:
            return days[-1]
        return days[-2 - (self.turn // 2) % (len(days) - 1)]

    def may_try(self, day: dt.date, host: str, tally: Tally | None) -> bool:
        """Whether these very rows were not tried in the last hours."""
        wanted = _fingerprint(day, host, tally)
        return not any(
            prints[i : i + len(wanted)] == wanted
            for _, prints in self.tried
            for i in range(0, len(prints), len(wanted))
        )

    def remember(self, day: dt.date, tallies: Mapping[str, Tally | None], now: float) -> None:
        """That these were tried."""
        if tallies:
            prints = [_fingerprint(day, host, tally) for host, tally in tallies.items()]
            self.tried.append((now, "".join(prints)))


def _fingerprint(day: dt.date, host: str, tally: Tally | None) -> str:
    """Eight characters for a host-day and its rows."""
    rows = [tally.rows, tally.newest_epoch] if tally else []
    text = json.dumps([str(day), host, *rows])
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:6]).decode()
