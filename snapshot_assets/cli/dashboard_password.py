"""``snapshot-assets dashboard-password``: a line for the dashboard's password file."""

from __future__ import annotations

import sys

import click

from snapshot_assets.dashboard.http.passwords import password_line


@click.command("dashboard-password")
@click.argument("name")
def dashboard_password(name: str) -> None:
    """Print a line for the dashboard's password file.

    The line lets NAME in; the file is SNAPSHOT_DASHBOARD_PASSWORD_FILE.
    Asks for the password, or takes the first line of standard input. Append what it prints:
    'snapshot-assets dashboard-password ana >> passwords'.
    """
    if sys.stdin.isatty():
        # To standard error, as the output is likely to go to a file.
        password: str = click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        click.echo(password_line(name, password))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
