"""The command line ``snapshot-assets``. Here: the list of commands and how errors end.

Each command has a module of its own, imported when it is called: ``read`` must not wait for
Dagster to load.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import click

from snapshot_assets.errors import OutageError, SnapshotAssetsError

# command -> module under snapshot_assets.cli that has a click command of the same name; both with
# an underscore where the command has a dash
_COMMANDS = (
    "demo",
    "ui",
    "dashboard",
    "dashboard-password",
    "collect",
    "settle",
    "live",
    "restore",
    "read",
    "doctor",
)

# Commands that are more than one module.
_PLACES = {"demo": "demo.command"}

EXIT_FAILED = 1
EXIT_OUTAGE = 3


class _LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        place = _PLACES.get(cmd_name, name)
        module = importlib.import_module(f"snapshot_assets.cli.{place}")
        command: click.Command = getattr(module, name)
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Settings come from the environment and from .env: SNAPSHOT_SOURCE_URL, "
    "SNAPSHOT_REDIS_URL, SNAPSHOT_LAKE and others; the README lists them all. Exit codes: 0 done, "
    "1 failed, 2 wrong usage, 3 a server did not answer.",
)
@click.version_option(package_name="snapshot-assets")
@click.option("-v", "--verbose", is_flag=True, help="Log more, on standard error.")
def cli(verbose: bool) -> None:
    """Who uses which machine, with what, right now and last month.

    Accounts process snapshots from MySQL or SQLite to 5 minutes and serves them from Redis. New
    here? Start with 'snapshot-assets demo'; then point the settings at your own servers and check
    them with 'snapshot-assets doctor'.
    """
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: user errors end with one message and a code, never with a traceback."""
    try:
        return cli(arguments, prog_name="snapshot-assets")
    except OutageError as error:
        click.echo(f"snapshot-assets: {error}", err=True)
        sys.exit(EXIT_OUTAGE)
    except SnapshotAssetsError as error:
        click.echo(f"snapshot-assets: {error}", err=True)
        sys.exit(EXIT_FAILED)
