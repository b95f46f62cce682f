"""``snapshot-assets restore``: the settled days back into a Redis that lost them."""

from __future__ import annotations

import click
from rich.progress import Progress

from snapshot_assets.cli.shared import console, open_writer
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.settings import Settings


@click.command()
def restore() -> None:
    """Refill an emptied Redis from the lake.

    Publishes every settled day within the retention, newest first. Does not read the source.
    Dagster's sensor redis_lost launches the same restore when Redis was emptied. The command does
    no harm at any time. 'snapshot-assets live' publishes today.
    """
    settings = Settings.load()
    with open_writer(settings) as writer, Progress(console=console, transient=True) as bar:
        task = bar.add_task("restoring", total=None)
        report = writer.restore(
            Lake(settings.lake),
            documents_rules=settings.documents(),
            progress=lambda day, hosts: bar.update(task, description=f"{day}: {hosts} hosts"),
        )
    console.print(
        f"{report.host_days} host-days of {len(report.days)} days restored, "
        f"{report.written.written:,} documents"
    )
    if report.defects:
        raise SnapshotAssetsError("\n".join(f"{k}: {v}" for k, v in report.defects.items()))
