"""``snapshot-assets dashboard-password``: prints a line for the dashboard's password file."""

from __future__ import annotations

import sys

import click

from snapshot_assets.dashboard.http.passwords import password_line


@click.command("dashboard-password")
@click.argument("name")
def dashboard_password(name: str) -> None:
    """Print a line for the dashboard's password file.

    The line lets the user NAME log in. SNAPSHOT_DASHBOARD_PASSWORD_FILE names the file. The command
    prompts for the password, or reads it from the first line of standard input. Append its output
    to the file: 'snapshot-assets dashboard-password ana >> passwords'.
    """
    if sys.stdin.isatty():
        # The prompt goes to standard error, as the output often goes to a file.
        password: str = click.prompt(
            "Password", hide_input=True, confirmation_prompt=True, err=True
        )
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    try:
        click.echo(password_line(name, password))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
