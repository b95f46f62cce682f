"""The command line ``snapshot-assets``: the list of commands, and how errors become exit codes.

Each command has a module of its own, which is imported when the command is called, so that ``read``
does not wait for Dagster to load.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import click

from snapshot_assets.errors import (
    MissingExtraError,
    OutageError,
    SnapshotAssetsError,
    require_extra,
)

if TYPE_CHECKING:
    from snapshot_assets.settings import Settings

# Command -> the extra that it needs, if any. Module and click command have the command's name, with
# an underscore for a dash.
COMMANDS: dict[str, str | None] = {
    "demo": "demo",
    "ui": "pipeline",
    "dashboard": "dashboard",
    "dashboard-password": "dashboard",
    "collect": "pipeline",
    "settle": "pipeline",
    "live": "pipeline",
    "restore": "pipeline",
    "read": None,
    "doctor": "pipeline",
    "hosts": "pipeline",
}

# Commands whose module has another name.
_MODULES = {"demo": "demo.command", "doctor": "doctor.command"}

EXIT_FAILED = 1
EXIT_OUTAGE = 3


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        if extra := COMMANDS[cmd_name]:
            try:
                require_extra(extra, f"'snapshot-assets {cmd_name}'")
            except MissingExtraError as error:
                return _without_extra(cmd_name, extra, error)
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"snapshot_assets.cli.{_MODULES.get(cmd_name, name)}")
        command: click.Command = getattr(module, name)
        return command


def _without_extra(name: str, extra: str, error: MissingExtraError) -> click.Command:
    """A substitute for a command whose extra is missing: it is listed, and always fails."""

    def fail() -> None:
        raise error

    return click.Command(
        name,
        callback=fail,
        short_help=f"(needs the extra {extra})",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


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

    Accounts process snapshots from MySQL or SQLite into 5-minute buckets and serves them from
    Redis. New here? Start with 'snapshot-assets demo'. Then point the settings at your own servers
    and check them with 'snapshot-assets doctor'.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_SecretKeeper("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])


class _SecretKeeper(logging.Formatter):
    """Formats log records, those of other packages too, without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """Called by logging."""
        return _without_secrets(super().format(record))


def _without_secrets(text: str) -> str:
    # Imported here, so that --help does not wait for it.
    from snapshot_assets.orchestration.secrecy import without_secrets

    return without_secrets(text, _settings(), os.environ.get("DAGSTER_MYSQL_URL"))


@lru_cache(maxsize=1)
def _settings() -> Settings:
    from snapshot_assets.settings import usable_settings

    return usable_settings()[0]


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: an error of the package ends with a message and a code, without a traceback.

    A programming error ends with a traceback that shows no password.
    """
    try:
        return cli(arguments, prog_name="snapshot-assets")
    except OutageError as error:
        click.echo(f"snapshot-assets: {error}", err=True)
        sys.exit(EXIT_OUTAGE)
    except SnapshotAssetsError as error:
        click.echo(f"snapshot-assets: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except Exception:  # Python would print the traceback with the password in it
        click.echo(_without_secrets(traceback.format_exc()), err=True, nl=False)
        sys.exit(EXIT_FAILED)
