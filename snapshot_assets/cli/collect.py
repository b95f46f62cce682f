"""``snapshot-assets collect``: writes this machine's processes to the source table."""

from __future__ import annotations

import socket

import click

from snapshot_assets.cli.shared import console, open_source
from snapshot_assets.errors import OutageError
from snapshot_assets.settings import Settings
from snapshot_assets.source.collector import Collector, sample_processes, ticks


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two snapshots. Their times are multiples of it.",
)
@click.option("--once", is_flag=True, help="Take one snapshot and end.")
@click.option("--host", default=None, help="Host name to write; by default this machine's name.")
def collect(interval: float, once: bool, host: str | None) -> None:
    """Sample this machine's processes into the source table.

    Creates the table, with the right indexes, if it does not exist. Runs until Ctrl-C. If the
    database does not answer, a snapshot is lost and the collector continues.
    """
    settings = Settings.load()
    name = host or socket.gethostname()
    with open_source(settings) as source:
        collector = Collector(source)
        try:
            for epoch in ticks(interval):
                rows = sample_processes(name, epoch)
                try:
                    collector.write(rows)
                except OutageError as error:
                    if once:
                        raise
                    click.echo(f"the snapshot of {epoch} is lost: {error}", err=True)
                else:
                    console.print(f"{epoch}: {len(rows)} processes of {name}", markup=False)
                if once:
                    return
        except KeyboardInterrupt:
            console.print("stopped")
