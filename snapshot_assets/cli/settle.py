"""``snapshot-assets settle``: materializes days x hosts of the three assets, in this process."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from typing import Any, TypeAlias

import click
import dagster as dg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from snapshot_assets.cli.instance import dagster_instance
from snapshot_assets.cli.shared import (
    Day,
    console,
    current_settings,
    open_reader,
    open_source,
    open_writer,
    table,
)
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS
from snapshot_assets.orchestration.metadata import REMARKS
from snapshot_assets.orchestration.partitions import known_hosts
from snapshot_assets.orchestration.resources import environment_resources
from snapshot_assets.orchestration.settling import (
    Outcome,
    PlannedRun,
    Stretch,
    materialize,
    planned,
    planned_changes,
    stretches,
)
from snapshot_assets.pipeline.changed import by_day
from snapshot_assets.pipeline.changed import changed as find_changed
from snapshot_assets.settings import Settings

_Plan: TypeAlias = Callable[[dg.DagsterInstance], list[PlannedRun]]


@click.command()
@click.option("--from", "first", type=Day(), metavar="DAY", help="First day, UTC.")
@click.option("--to", "last", type=Day(), metavar="DAY", help="Last day, included; must be over.")
@click.option("--host", "hosts", multiple=True, help="Settle this host only; may be repeated.")
@click.option(
    "--changed",
    is_flag=True,
    help="Settle again what was made with other settings; of all days, unless --from and --to "
    "limit them.",
)
def settle(
    first: dt.date | None, last: dt.date | None, hosts: tuple[str, ...], changed: bool
) -> None:
    """Account whole UTC days through Dagster.

    Materializes raw_process_rows, five_minute_aggregates and redis_snapshots for every day in the
    range and every host that has rows in that day. Records them in Dagster's instance, runs the
    checks and prints a summary. A host given with --host is settled for every day, even without
    rows. Settling a day again replaces its documents.

    With --changed, only the settled days of hosts that were made with other settings than those of
    now are settled again, as the check settings_are_current lists them. Where the lake keeps all
    rows that the settings need, the source is not read.
    """
    settings = Settings.load()
    if changed:
        plan = _plan_of_changes(settings, first, last, hosts)
    elif first is None or last is None:
        raise click.UsageError("--from and --to are needed, or --changed")
    else:
        plan = _plan_of_days(settings, first, last, hosts)
    with dagster_instance() as instance:
        outcome = settle_runs(instance, settings, plan(instance))
    if outcome.checks or outcome.failures:
        _print(outcome)
    if outcome.failures or outcome.failed_checks:
        raise click.exceptions.Exit(1)


def _plan_of_days(
    settings: Settings, first: dt.date, last: dt.date, hosts: tuple[str, ...]
) -> _Plan:
    """Settle the days in a range, for the hosts with rows in each or for these hosts."""
    _check_days(first, last, settings.start_date)
    with open_source(settings) as source, open_writer(settings) as writer:
        writer.base.ping()
        own_range = settings.accounting().own_range
        found = {
            day: source.hosts(*own_range(Window.of_day(day)))
            for day in Window(Window.of_day(first).start, Window.of_day(last).end).days()
        }
    if not hosts and not any(found.values()):
        raise SnapshotAssetsError(
            "the source has no rows in these days; see 'snapshot-assets doctor'"
        )

    def plan(instance: dg.DagsterInstance) -> list[PlannedRun]:
        if not hosts:
            return planned(instance, stretches(found))
        _require_known(hosts, {h for day in found.values() for h in day}, known_hosts(instance))
        return planned(instance, [Stretch(first, last, tuple(sorted(set(hosts))))])

    return plan


def _plan_of_changes(
    settings: Settings, first: dt.date | None, last: dt.date | None, hosts: tuple[str, ...]
) -> _Plan:
    """Settle what was made with other settings, and print what that is."""
    if first and last and first > last:
        raise click.BadParameter(f"--from {first} is after --to {last}")
    with open_reader(settings) as reader:
        found = list(
            find_changed(
                Lake(settings.lake),
                reader,
                current_settings(settings),
                first=first,
                last=last,
                hosts=hosts or None,
            )
        )
    for one in by_day(found):
        console.print(
            f"{one.day}: {len(one.hosts)} host-days: {'; '.join(one.differences)}", markup=False
        )
    if early := [one for one in found if one.host_day.day < settings.start_date]:
        console.print(
            f"{len(early)} host-days are before the first partition, {settings.start_date}, and "
            "stay as they are; set SNAPSHOT_START_DATE"
        )
    if not found:
        console.print("Every settled host-day was made with the settings of now.")
    return lambda instance: planned_changes(instance, found, settings.start_date)


def settle_runs(
    instance: dg.DagsterInstance, settings: Settings, runs: Sequence[PlannedRun]
) -> Outcome:
    """Materialize the host-days of some runs, with a progress bar."""
    outcome = Outcome()
    with Progress(
        TextColumn("settling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("host-days"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=sum(run.box.partitions for run in runs))
        resources = environment_resources()
        for run in materialize(instance, resources, settings.start_date, runs, outcome):
            progress.advance(task, run.box.partitions)
    return outcome


def _check_days(first: dt.date, last: dt.date, start: dt.date) -> None:
    today = dt.datetime.now(dt.UTC).date()
    if first > last:
        raise click.BadParameter(f"--from {first} is after --to {last}")
    if last >= today:
        raise click.BadParameter(
            f"--to {last} is not over yet in UTC; 'settle' needs days that are over, 'live' "
            "publishes today"
        )
    if first < start:
        raise click.BadParameter(
            f"--from {first} is before the first partition, {start}; set SNAPSHOT_START_DATE"
        )


def _require_known(requested: Sequence[str], found: Set[str], known: Sequence[str]) -> None:
    unknown = sorted(set(requested) - found - set(known))
    if unknown:
        raise SnapshotAssetsError(
            f"no rows of {', '.join(map(repr, unknown))} in these days; hosts with rows: "
            f"{', '.join(sorted(found)) or 'none'}"
        )


def _print(outcome: Outcome) -> None:
    by_host: dict[str, list[dict[str, dict[str, Any]]]] = defaultdict(list)
    for host_day, by_asset in sorted(outcome.metadata.items()):
        by_host[host_day.host].append(by_asset)

    def total(days: list[dict[str, dict[str, Any]]], asset: str, name: str) -> Any:
        return sum(day[asset][name] for day in days if asset in day)

    rows = []
    for host, days in by_host.items():
        covered = sum(
            day[AGGREGATES]["coverage"] * day[AGGREGATES]["buckets"]
            for day in days
            if AGGREGATES in day
        )
        rows.append(
            (
                host,
                len(days),
                total(days, RAW, "dagster/row_count"),
                total(days, AGGREGATES, "buckets"),
                f"{covered / (288 * len(days)):.1%}",
                total(days, AGGREGATES, "cpu_core_seconds_attributed") / 3600,
                total(days, AGGREGATES, "cpu_core_seconds_gap") / 3600,
                total(days, SNAPSHOTS, "documents_written"),
                total(days, SNAPSHOTS, "documents_past_retention"),
            )
        )
    headers = (
        "host",
        "days",
        "rows",
        "buckets",
        "cover",
        "core-h",
        "gap core-h",
        "docs",
        "expired",
    )
    console.print(table("Settled", headers, rows))
    for warning in (*_remarks(outcome), *outcome.warnings):
        console.print(f"warning: {warning}", style="yellow", markup=False)
    if outcome.checks:
        console.print(f"{outcome.passed} of {outcome.checks} checks passed")
    else:
        console.print("no check was evaluated, because host-days of the run failed")
    for failure in (*outcome.failures, *outcome.failed_checks):
        console.print(f"failed: {failure}", style="red", markup=False)


def _remarks(outcome: Outcome) -> list[str]:
    """What was odd about the rows that were read, and where."""
    found: dict[str, list[HostDay]] = defaultdict(list)
    for host_day, by_asset in sorted(outcome.metadata.items()):
        for record in by_asset.get(RAW, {}).get(REMARKS, ()):
            found[str(record.data["remark"])].append(host_day)
    return [
        f"{where[0] if len(where) == 1 else f'{len(where)} host-days'}: {remark}"
        for remark, where in found.items()
    ]
