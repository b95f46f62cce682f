"""``snapshot-assets ui``: runs Dagster's UI, and its daemon with the schedules and sensors."""

from __future__ import annotations

import os
import sys

import click

from snapshot_assets.cli.instance import dagster_home


def ui_command(host: str, port: int) -> list[str]:
    """The command that runs Dagster's UI and daemon with this package's definitions."""
    return [
        *(sys.executable, "-W", "ignore", "-m", "dagster", "dev"),
        *("-m", "snapshot_assets.definitions", "-h", host, "-p", str(port)),
    ]


@click.command()
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to bind."
)
@click.option("--port", default=3000, show_default=True, help="Port of the UI.")
def ui(host: str, port: int) -> None:
    """Run Dagster's UI and its daemon.

    The daemon runs the schedules and sensors. Dagster keeps runs and events in DAGSTER_HOME, by
    default data/dagster. Anyone who can reach the port can launch runs, so put a proxy with a login
    in front of the UI before you open the port to others.
    """
    dagster_home()
    command = ui_command(host, port)
    os.execv(command[0], command)  # noqa: S606 - the UI replaces this process and gets its signals
