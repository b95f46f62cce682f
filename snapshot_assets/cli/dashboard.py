"""``snapshot-assets dashboard``: serves the pages from Redis."""

from __future__ import annotations

import click

from snapshot_assets.cli.shared import open_reader
from snapshot_assets.dashboard.app import create_app
from snapshot_assets.dashboard.serve import serve
from snapshot_assets.settings import Settings


@click.command()
@click.option(
    "--host", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Address to bind."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8050,
    show_default=True,
    help="Port of the pages; 0 chooses a free port.",
)
@click.option(
    "--allow-anonymous",
    is_flag=True,
    help="Serve other machines without authentication.",
)
def dashboard(host: str, port: int, allow_anonymous: bool) -> None:
    """Serve the pages, from Redis alone.

    Also starts while Redis is down: the pages then say what is missing, and recover when Redis
    answers. To serve other machines, the dashboard requires authentication
    (SNAPSHOT_DASHBOARD_PASSWORD_FILE or SNAPSHOT_DASHBOARD_USER_HEADER). SIGTERM or Ctrl-C ends it.
    """
    settings = Settings.load()
    options = settings.dashboard()
    with open_reader(settings) as reader:
        app = create_app(reader, options=options)
        serve(app, host, port, options, unsafe_bind=allow_anonymous)
