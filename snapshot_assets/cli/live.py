"""``snapshot-assets live``: one refresh of the recent window, without Dagster."""

from __future__ import annotations

import click

from snapshot_assets.cli.shared import console, open_source, open_writer
from snapshot_assets.settings import Settings
from snapshot_assets.store.redis_writer import DEFAULT_LOOKBACK_SECONDS


@click.command()
@click.option(
    "--lookback",
    "lookback_minutes",
    type=click.FloatRange(min=0, max=2_880),
    default=DEFAULT_LOOKBACK_SECONDS / 60,
    show_default=True,
    metavar="MINUTES",
    help="How far back buckets are refreshed, for rows that came late.",
)
def live(lookback_minutes: float) -> None:
    """Account the last minutes of all hosts and store them in Redis.

    Fit for cron, every five minutes. Doing it twice does no harm; settled days are left alone.
    """
    settings = Settings.load()
    with open_source(settings) as source, open_writer(settings) as writer:
        report = writer.store_data(
            source,
            accounting=settings.accounting(),
            documents_rules=settings.documents(),
            lookback_seconds=lookback_minutes * 60,
        )
    ledger, written = report.ledger, report.written
    console.print(
        f"{report.window}: {ledger.rows_read:,} rows of {len(report.hosts)} hosts, "
        f"{ledger.attributed_cpu_seconds:,.0f} core-seconds; {written.written} documents written, "
        f"{written.removed} removed, {written.kept_settled} settled ones kept, "
        f"{written.expired} past retention"
    )
    if not report.hosts:
        console.print(
            "No rows in this window: is a collector running? See 'snapshot-assets doctor'."
        )
