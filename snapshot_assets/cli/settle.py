"""``snapshot-assets settle``: materializes days x hosts of the three assets, in this process."""

from __future__ import annotations

import datetime as dt
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import click
import dagster as dg
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from snapshot_assets.cli.instance import dagster_instance
from snapshot_assets.cli.shared import Day, console, open_source, open_writer, table
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.orchestration.assets import AGGREGATES, RAW, SNAPSHOTS, settled_assets
from snapshot_assets.orchestration.checks import settled_checks
from snapshot_assets.orchestration.metadata import REMARKS
from snapshot_assets.orchestration.partitions import (
    add_hosts,
    boxes,
    host_day_of,
    host_day_partitions,
    known_hosts,
)
from snapshot_assets.orchestration.resources import environment_resources
from snapshot_assets.settings import Settings

_PARTITIONS_PER_RUN = 50
_ONE_DAY = dt.timedelta(days=1)
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@click.command()
@click.option("--from", "first", type=Day(), metavar="DAY", required=True, help="First day, UTC.")
@click.option(
    "--to",
    "last",
    type=Day(),
    metavar="DAY",
    required=True,
    help="Last day, included; must be over.",
)
@click.option("--host", "hosts", multiple=True, help="Settle this host only; may be repeated.")
def settle(first: dt.date, last: dt.date, hosts: tuple[str, ...]) -> None:
    """Account whole UTC days through Dagster.

    Materializes raw_process_rows, five_minute_aggregates and redis_snapshots for every day in the
    range and every host that has rows in that day. Records them in Dagster's instance, runs the
    checks and prints a summary. A host given with --host is settled for every day, even without
    rows. Settling a day again replaces its documents.
    """
    settings = Settings.load()
    _check_days(first, last, settings.start_date)
    with open_source(settings) as source, open_writer(settings) as writer:
        writer.base.ping()
        own_range = settings.accounting().own_range
        found = {
            day: source.hosts(*own_range(Window.of_day(day)))
            for day in Window(Window.of_day(first).start, Window.of_day(last).end).days()
        }
    with dagster_instance() as instance:
        if hosts:
            _require_known(hosts, {h for day in found.values() for h in day}, known_hosts(instance))
            wanted = [Stretch(first, last, tuple(sorted(set(hosts))))]
        else:
            wanted = _stretches(found)
        add_hosts(instance, [host for stretch in wanted for host in stretch.hosts])
        outcome = settle_days(instance, settings, wanted)
    _print(outcome)
    if outcome.failures or outcome.failed_checks:
        raise click.exceptions.Exit(1)


@dataclass(slots=True)
class Outcome:
    """What the runs did.

    Attributes:
        metadata: of each host-day, the metadata by asset.
        failures: the error of each failed step.
        failed_checks: name and culprits of each failed check.
        warnings: name and culprits of each check that warns.
        checks: number of checks that ran.
    """

    metadata: dict[HostDay, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    failures: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    checks: int = 0


class Stretch(NamedTuple):
    """Consecutive days, both included, that are settled for the same hosts."""

    first: dt.date
    last: dt.date
    hosts: tuple[str, ...]


def settle_days(
    instance: dg.DagsterInstance, settings: Settings, stretches: Sequence[Stretch]
) -> Outcome:
    """Materialize the host-days of some stretches, in runs of bounded size, with a progress bar."""
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    partitions = host_day_partitions(settings.start_date)
    definitions = [*settled_assets(partitions), *settled_checks()]
    outcome = Outcome()
    known = known_hosts(instance)
    wanted = [box for s in stretches for box in boxes(*s, known, _PARTITIONS_PER_RUN)]
    with Progress(
        TextColumn("settling"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("host-days"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task("", total=sum(box.partitions for box in wanted))
        for box in wanted:
            result = dg.materialize(
                definitions,
                instance=instance,
                resources=environment_resources(),
                tags=box.tags,
                run_config=_QUIET,
                raise_on_error=False,
            )
            _collect(result, outcome)
            progress.advance(task, box.partitions)
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


def _stretches(found: Mapping[dt.date, Sequence[str]]) -> list[Stretch]:
    """The host-days that have rows, in few stretches."""
    stretches: list[Stretch] = []
    for day, hosts in sorted(found.items()):
        before = stretches[-1] if stretches else None
        if before and before.last == day - _ONE_DAY and before.hosts == tuple(hosts):
            stretches[-1] = before._replace(last=day)
        elif hosts:
            stretches.append(Stretch(day, day, tuple(hosts)))
    if not stretches:
        raise SnapshotAssetsError(
            "the source has no rows in these days; see 'snapshot-assets doctor'"
        )
    return stretches


def _require_known(requested: Sequence[str], found: Set[str], known: Sequence[str]) -> None:
    unknown = sorted(set(requested) - found - set(known))
    if unknown:
        raise SnapshotAssetsError(
            f"no rows of {', '.join(map(repr, unknown))} in these days; hosts with rows: "
            f"{', '.join(sorted(found)) or 'none'}"
        )


def _collect(result: dg.ExecuteInProcessResult, outcome: Outcome) -> None:
    for event in result.get_asset_materialization_events():
        made = event.materialization
        if made.partition is None:
            continue
        host_day = host_day_of(made.partition)
        values = {
            name: value.records if isinstance(value, dg.TableMetadataValue) else value.value
            for name, value in made.metadata.items()
        }
        outcome.metadata[host_day][made.asset_key.to_user_string()] = values
    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            problem = data.user_failure_data.description if data.user_failure_data else None
            outcome.failures.append(problem or (data.error.message.strip() if data.error else ""))
    for evaluation in result.get_asset_check_evaluations():
        outcome.checks += 1
        if not evaluation.passed:
            failed = evaluation.severity == dg.AssetCheckSeverity.ERROR
            told = outcome.failed_checks if failed else outcome.warnings
            told.append(f"{evaluation.check_name}: {_culprits(evaluation)}")


def _culprits(evaluation: dg.AssetCheckEvaluation) -> str:
    culprits = evaluation.metadata.get("culprits")
    if not isinstance(culprits, dg.TableMetadataValue):
        return "failed"
    return "; ".join(f"{r.data['partition']}: {r.data['problem']}" for r in culprits.records)


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
    passed = outcome.checks - len(outcome.failed_checks) - len(outcome.warnings)
    console.print(f"{passed} of {outcome.checks} checks passed")
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
