"""``snapshot-assets hosts``: lists the hosts, and tells which are retired or renamed."""

from __future__ import annotations

from time import time

import click

from snapshot_assets.cli.shared import console, duration, open_reader, open_source, open_writer
from snapshot_assets.cli.shared import table as shown
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso
from snapshot_assets.lake.lake import Lake
from snapshot_assets.pipeline.fleet import HostLine, fleet, say_farewell, take_back
from snapshot_assets.settings import Settings
from snapshot_assets.store.reading.presence import Progress


@click.group(invoke_without_command=True)
@click.pass_context
def hosts(context: click.Context) -> None:
    """List the hosts; say which are retired or renamed.

    Without a subcommand, lists each host with its first and newest row in the source, the age of
    the newest row, the number of settled days, and its state. The checks expect rows of a host
    until it is retired or renamed. All its figures stay under the name that they have.
    """
    if context.invoked_subcommand is None:
        _list()


@hosts.command()
@click.argument("old")
@click.argument("new")
def rename(old: str, new: str) -> None:
    """Say that the machine OLD is called NEW now.

    The checks forget OLD and the list links it to NEW. Nothing is moved: the days of OLD stay under
    OLD, the days of NEW begin with its first row.
    """
    _forget(old, renamed_to=new)
    console.print(f"{old} is called {new} now; its figures stay under {old}", markup=False)


@hosts.command()
@click.argument("host")
def retire(host: str) -> None:
    """Say that the machine HOST is gone.

    The checks forget it. If it brings new rows, they say so.
    """
    _forget(host)
    console.print(f"{host} is retired; its figures stay", markup=False)


@hosts.command()
@click.argument("host")
def unretire(host: str) -> None:
    """Expect HOST again, after retire or rename."""
    settings = Settings.load()
    take_back(Lake(settings.lake), host)
    console.print(f"{host} is expected again", markup=False)


def _list() -> None:
    now = time()
    rows = [
        (
            line.host,
            _iso(line.first_epoch),
            _iso(line.newest_epoch),
            "" if line.newest_epoch is None else _age(now - line.newest_epoch),
            line.settled_days,
            line.newest_day or "",
            line.state,
        )
        for line in _fleet(Settings.load(), now)
    ]
    headers = ("host", "first row (UTC)", "newest row (UTC)", "age", "settled", "last", "state")
    console.print(shown("Hosts", headers, rows))


def _forget(host: str, renamed_to: str | None = None) -> None:
    settings, now = Settings.load(), time()
    lines = _fleet(settings, now)
    with open_writer(settings) as writer:
        say_farewell(Lake(settings.lake), writer, lines, host, now, renamed_to)


def _fleet(settings: Settings, now: float) -> list[HostLine]:
    with open_source(settings) as source, open_reader(settings) as reader:
        progress: Progress = reader.progress()
        return fleet(source, Lake(settings.lake), progress, now, settings.max_gap + BUCKET_SECONDS)


def _iso(epoch_seconds: float | None) -> str:
    return "" if epoch_seconds is None else bucket_iso(int(epoch_seconds))[:19]


def _age(seconds: float) -> str:
    return f"in {duration(-seconds)}" if seconds < 0 else duration(seconds)
