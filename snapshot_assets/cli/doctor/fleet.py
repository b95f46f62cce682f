"""Checks of the hosts: which report, and the newest hour of each by its own clock.

One host whose clock is days ahead must not hide the others, so each host's newest row decides which
of its rows are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from snapshot_assets.cli.doctor.finding import Check, Finding, abridged
from snapshot_assets.cli.doctor.sample import Sample, sample_findings
from snapshot_assets.cli.doctor.zones import zone_findings
from snapshot_assets.cli.shared import duration
from snapshot_assets.domain.capacity import Capacity
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.sampling import cadences, likely_rss_unit, sampled, state_of
from snapshot_assets.domain.sampling.oddities import same_machines
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, bucket_iso
from snapshot_assets.errors import SettingsError, SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.register import Farewell, read_register
from snapshot_assets.pipeline.reading import read
from snapshot_assets.settings import Settings
from snapshot_assets.source.looking import local_times, spans
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import TEXT_COLUMNS, RssUnit
from snapshot_assets.store.reading.presence import Progress

_HOUR_SECONDS = 3_600
# Hosts that one query reads; without an index each query looks at the whole table.
_HOSTS_PER_READ = 16
# Rows of hosts that are silent for longer say nothing about today's collector.
_RECENT_DAYS = 7
# Enough snapshots to see that two hosts have the same rows.
_COMPARED_SECONDS = 1_800
# Figures that are all round look like any unit.
_ENOUGH_SIZES = 10
# Zones differ by multiples of this.
_ZONE_STEP_SECONDS = 1_800
_ZONE_TOLERANCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known besides the rows.

    Attributes:
        now: epoch seconds.
        settings: as they are.
        rules: of the accounting; without capacities if their file cannot be read.
        capacities: sizes of machines from that file.
        register: the hosts that are not expected.
        progress: what Redis says of the live path; None if it says nothing.
    """

    now: float
    settings: Settings
    rules: AccountingRules
    capacities: dict[str, Capacity]
    register: dict[str, Farewell]
    progress: Progress | None

    @classmethod
    def of(cls, settings: Settings, now: float, progress: list[Progress]) -> Knowledge:
        """What settings, lake and Redis say; each may be unreadable, which other checks report."""
        try:
            capacities, rules = settings.capacities(), settings.accounting()
        except SettingsError:
            capacities = {}
            rules = settings.model_copy(
                update={"capacity": None, "dashboard_capacity": None}
            ).accounting()
        try:
            register = read_register(Lake(settings.lake))
        except SnapshotAssetsError:
            register = {}
        return cls(now, settings, rules, capacities, register, progress[0] if progress else None)

    @property
    def allowed_seconds(self) -> float:
        """How old the newest row of a host in time may be."""
        return self.rules.max_gap_seconds + BUCKET_SECONDS


class _Hosts:
    """The first and the newest row of each host, which several checks need; read once."""

    def __init__(self, source: ProcessSource) -> None:
        self._source = source
        self._spans: dict[str, tuple[float, float]] | None = None

    def spans(self) -> dict[str, tuple[float, float]]:
        """Host to epoch seconds."""
        if self._spans is None:
            self._spans = spans(self._source)
        return self._spans


def host_checks(source: ProcessSource, knowledge: Callable[[], Knowledge]) -> list[Check]:
    """The checks of the hosts.

    Args:
        source: where the rows are.
        knowledge: gets what is known besides the rows, when the first check runs.
    """
    hosts = _Hosts(source)
    return [
        lambda: _extent(hosts),
        lambda: _attendance(hosts, knowledge()),
        lambda: abridged(_recent_rows(source, hosts, knowledge())),
        lambda: abridged(_zones(source, hosts, knowledge())),
    ]


def _extent(hosts: _Hosts) -> Iterator[Finding]:
    found = hosts.spans()
    if not found:
        yield Finding("warning", "rows", "the table is empty", "start a collector")
        return
    first = min(first for first, _ in found.values())
    last = max(newest for _, newest in found.values())
    yield Finding(
        "ok",
        "rows",
        f"{len(found)} hosts, from {bucket_iso(int(first))} to {bucket_iso(int(last))}",
    )


# --- which hosts report ---------------------------------------------------------------------------


def _attendance(hosts: _Hosts, known: Knowledge) -> Iterator[Finding]:
    newest = {host: last for host, (_, last) in hosts.spans().items()}
    expected = {h: t for h, t in newest.items() if h not in known.register}
    for host, farewell in known.register.items():
        if farewell.is_over(newest.get(host)):
            yield Finding(
                "warning",
                "host",
                f"{host} is retired or renamed, and reports again",
                f"run 'snapshot-assets hosts unretire {host}', or stop its collector",
            )
    ages = {host: known.now - time for host, time in expected.items()}
    if ages and min(ages.values()) > known.rules.max_gap_seconds:
        yield Finding(
            "warning",
            "rows",
            f"the newest snapshot is {duration(min(ages.values()))} old",
            "start the collectors; there are no newer live documents",
        )
    found: list[tuple[str, Finding]] = []
    gone = []
    for host, age in sorted(ages.items(), key=lambda item: item[1]):
        arrived = known.progress.arrived_epoch.get(host) if known.progress else None
        state = state_of(known.now, expected[host], arrived, known.allowed_seconds)
        if state == "silent" and age > _RECENT_DAYS * DAY_SECONDS:
            gone.append(host)
        elif state != "reporting":
            found.append((host, _absent(host, state, age)))
    yield from abridged(found)
    if gone:
        yield Finding(
            "warning",
            "silent host",
            f"{', '.join(gone)}: nothing for more than {_RECENT_DAYS} days",
            "if a machine is gone for good: snapshot-assets hosts retire NAME",
        )


def _absent(host: str, state: str, age: float) -> Finding:
    if state == "ahead":
        return Finding(
            "error",
            "clock ahead",
            f"the newest snapshot of {host} is {duration(-age)} in the future{_zone_hint(age)}",
            "set the clock (NTP); snapshot_time_epoch is seconds since 1970 in UTC",
        )
    if state == "late":
        return Finding(
            "warning",
            "late host",
            f"{host} is {duration(age)} behind: its rows come, but old{_zone_hint(age)}",
            "set its clock (NTP), or look at its collector, or at the replica that the source is",
        )
    return Finding(
        "warning",
        "silent host",
        f"{host} has sent nothing for {duration(age)}, or its clock is behind{_zone_hint(age)}",
        "check that the machine and its collector run",
    )


def _zone_hint(age: float) -> str:
    """A remark if the clock is off by what zones are off."""
    steps = round(age / _ZONE_STEP_SECONDS)
    if not steps or abs(age) > 15 * 3_600:
        return ""
    if abs(age - steps * _ZONE_STEP_SECONDS) > _ZONE_TOLERANCE_SECONDS:
        return ""
    return "; that is a difference of zones: is the epoch made of local time?"


# --- the newest hour of each ----------------------------------------------------------------------


def _recent_rows(
    source: ProcessSource, hosts: _Hosts, known: Knowledge
) -> Iterator[tuple[str, Finding]]:
    intervals: list[float] = []
    compared: list[pd.DataFrame] = []
    for group in _groups(hosts, known):
        start, end = min(group.values()) - _HOUR_SECONDS, max(group.values()) + 1
        by_host = read(source, (start, end), group).by_host(group)
        for host, newest in group.items():
            found = by_host[host]
            rows = found.rows[found.rows["snapshot_time_epoch"] >= newest - _HOUR_SECONDS]
            sample = Sample(host, newest, rows.reset_index(drop=True), found, known.rules)
            for finding in sample_findings(sample, known.capacities.get(host)):
                yield host, finding
            intervals += [
                cadence.median_interval_seconds
                for cadence in cadences(sampled(sample.rows, known.rules))
                if cadence.snapshots > 1
            ]
            late = rows["snapshot_time_epoch"] >= newest - _COMPARED_SECONDS
            compared.append(rows[late])
    if intervals:
        typical = sorted(intervals)[len(intervals) // 2]
        yield (
            "",
            Finding("ok", "cadence", f"{len(compared)} hosts, typically every {typical:.0f} s"),
        )
    if compared:
        rows = _joined(compared)
        yield from (("", finding) for finding in _rss_unit(rows, known.settings.rss_unit))
        for oddity in same_machines(rows):
            yield (
                "",
                Finding(
                    "warning",
                    "one machine",
                    oddity.text,
                    "let its collector write one name; the other one can be renamed: "
                    "snapshot-assets hosts rename OLD NEW",
                ),
            )


def _rss_unit(rows: pd.DataFrame, unit: RssUnit) -> Iterator[Finding]:
    """The unit of all hosts together, where each alone has too few processes to tell."""
    likely = likely_rss_unit(rows.fillna({"rss": 0.0}), unit)
    if likely is not None and likely != unit and rows["rss"].nunique() >= _ENOUGH_SIZES:
        yield Finding(
            "error",
            "rss",
            f"column rss looks like {likely}, but is read as {unit}",
            f"set SNAPSHOT_RSS_UNIT={likely} and settle again",
        )


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of several hosts in one table, with categories again."""
    text = dict.fromkeys(TEXT_COLUMNS, "category")
    return pd.concat([table.astype(dict.fromkeys(text, object)) for table in tables]).astype(text)


def _zones(source: ProcessSource, hosts: _Hosts, known: Knowledge) -> Iterator[tuple[str, Finding]]:
    zone = source.table.timezone
    for group in _groups(hosts, known):
        start, end = min(group.values()) - _HOUR_SECONDS, max(group.values()) + 1
        for host, times in local_times(source, group, start, end).items():
            for finding in zone_findings(host, times, zone):
                yield host, finding


def _groups(hosts: _Hosts, known: Knowledge) -> Iterator[dict[str, float]]:
    """Hosts whose newest rows are less than an hour apart, with the time of the newest row.

    Hosts that ended a week before the others are left out; a table may be old as a whole.
    """
    newest = sorted((last, host) for host, (_, last) in hosts.spans().items())
    last_of_all = max((min(time, known.now) for time, _ in newest), default=0.0)
    group: dict[str, float] = {}
    for time, host in newest:
        if time < last_of_all - _RECENT_DAYS * DAY_SECONDS:
            continue
        oldest = min(group.values(), default=time)
        if len(group) >= _HOSTS_PER_READ or time - oldest > _HOUR_SECONDS:
            yield group
            group = {}
        group[host] = time
    if group:
        yield group
