"""``snapshot-assets live``: one live refresh, without Dagster."""

from __future__ import annotations

import click

from snapshot_assets.cli.shared import console, duration, open_source, open_writer
from snapshot_assets.domain.rules import LiveRules
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.fleet import retired
from snapshot_assets.pipeline.live import settled_until
from snapshot_assets.settings import Settings


@click.command()
@click.option(
    "--lookback",
    "lookback_minutes",
    type=click.FloatRange(min=0, max=2_880),
    metavar="MINUTES",
    help="How far back buckets are published again, for late rows. Default: "
    "SNAPSHOT_LIVE_LOOKBACK.",
)
def live(lookback_minutes: float | None) -> None:
    """Account the newest rows of all hosts, once.

    Run this command from cron every five minutes if Dagster's daemon does not run. It catches up
    after an outage. A second run does no harm, and settled days stay as they are.
    """
    settings = Settings.load()
    rules = settings.live()
    if lookback_minutes is not None:
        rules = LiveRules(lookback_minutes * 60, max(rules.limit_seconds, lookback_minutes * 60))
    lake = Lake(settings.lake)
    with open_source(settings) as source, open_writer(settings) as writer:
        report = writer.store_data(
            source,
            accounting=settings.accounting(),
            documents_rules=settings.documents(),
            rules=rules,
            settled_until=settled_until(lake),
            retired=retired(lake),
        )
    ledger, written = report.ledger, report.written
    console.print(
        f"{report.window}: {ledger.rows_read:,} rows of {len(report.hosts)} hosts, "
        f"{ledger.attributed_cpu_seconds:,.0f} core-seconds; {written.written} documents written, "
        f"{written.removed} removed, {written.kept_settled} settled ones kept, "
        f"{written.expired} past retention"
    )
    if report.changes:
        console.print(
            f"Settings changed ({'; '.join(report.changes)}): everything live was published again.",
            markup=False,
        )
    if report.days_left_out:
        first, last = report.days_left_out[0], report.days_left_out[-1]
        console.print(
            f"Not published, as too long ago: {first} to {last}. Settle the days that are over: "
            f"snapshot-assets settle --from {first} --to {last}"
        )
    if report.late:
        behind = ", ".join(f"{host} ({duration(age)})" for host, age in report.late.items())
        console.print(f"Late: {behind}", markup=False)
    if not report.hosts:
        console.print(
            "No rows in this window. Is a collector running? See 'snapshot-assets doctor'."
        )
    for remark in report.remarks:
        console.print(f"warning: {remark}", style="yellow", markup=False)
    if report.rows_without_host:
        console.print(
            f"warning: {report.rows_without_host:,} rows have no host; repair the collector that "
            "writes them",
            style="yellow",
        )
    if report.defects:
        raise SnapshotAssetsError("\n".join(str(defect) for defect in report.defects.values()))
