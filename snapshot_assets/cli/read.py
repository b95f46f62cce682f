"""``snapshot-assets read``: prints what ``RedisReader.get_data`` returns, as table or JSON."""

from __future__ import annotations

import datetime as dt
import json

import click

from snapshot_assets.cli.shared import UtcTime, console, open_reader, table
from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.settings import Settings


@click.command()
@click.argument("host")
@click.option(
    "--start",
    type=UtcTime(),
    metavar="TIME",
    default=None,
    help="First bucket; UTC unless the time has an offset.",
)
@click.option(
    "--end",
    type=UtcTime(),
    metavar="TIME",
    default=None,
    help="Last bucket, included; by default now.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the documents as one JSON object.")
def read(host: str, start: dt.datetime | None, end: dt.datetime | None, as_json: bool) -> None:
    """Show the documents of a host.

    HOST is the host's name. Without times, the command shows the last 24 hours.
    """
    with open_reader(Settings.load()) as reader:
        try:
            found = reader.get_data(host, start, end)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        known = reader.hosts(start, end) if not found else [host]
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    if not found:
        there = f"hosts with documents: {', '.join(known)}" if known else "no host has any"
        raise click.ClickException(f"no documents of {host!r} in this range; {there}")
    rows = []
    for bucket, document in found.items():
        top = document["cpu"]["user"][:1]
        rows.append(
            (
                bucket_iso(bucket),
                document["cpu"]["command"]["cpu_norm"],
                document["mem"]["command"]["rss"],
                f"{document['meta']['coverage']:.0%}",
                document["meta"]["stage"],
                f"{top[0]['username']}: {top[0]['comm']} ({top[0]['cpu_norm']:.2f})" if top else "",
            )
        )
    headers = ("bucket (UTC)", "cores", "GB", "cover", "stage", "most cores")
    console.print(table(host, headers, rows))
