"""The dashboard put together: :func:`create_app`. Nothing happens at import."""

from __future__ import annotations

from collections.abc import Callable
from time import time

from dash import Dash
from flask import Response, jsonify, request

from snapshot_assets.dashboard import shell
from snapshot_assets.dashboard.capacity import Capacities
from snapshot_assets.dashboard.http.access import install_access
from snapshot_assets.dashboard.http.headers import content_security_policy, install_headers
from snapshot_assets.dashboard.http.health import install_health
from snapshot_assets.dashboard.memo import Memo
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.dashboard.pages.page import Site
from snapshot_assets.dashboard.tooltip import tooltip_answer
from snapshot_assets.store.reading.reader import RedisReader

_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<meta name="color-scheme" content="light dark">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="ICON">
{%css%}
</head>
<body>
{%app_entry%}
<noscript><p>This page needs JavaScript.</p></noscript>
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def create_app(
    reader: RedisReader,
    clock: Callable[[], float] = time,
    options: DashboardOptions | None = None,
) -> Dash:
    """The dashboard on this reader, ready to be served; ``app.server`` is its WSGI application.

    Args:
        reader: of the store; shared by all threads. Nothing is read yet.
        clock: epoch seconds now.
        options: of this installation.
    """
    options = options or DashboardOptions()
    app = Dash(
        __name__,
        title=options.title,
        update_title="",
        url_base_pathname=options.url_prefix,
        compress=True,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        suppress_callback_exceptions=False,
    )
    app.index_string = _INDEX.replace("ICON", app.get_asset_url("icon.svg"))
    app.layout = shell.layout(options)
    install_access(app.server, options)
    policy: list[str] = []

    def csp() -> str:
        # The hashes depend on the layout and the callbacks, which never change.
        if not policy:
            policy.append(content_security_policy(app.csp_hashes()))
        return policy[0]

    install_headers(app.server, csp)
    watch = install_health(app.server, reader, clock, options)
    site = Site(reader, clock, options, Capacities(options.capacity_file), Memo(watch.latest))
    shell.register(app, site)

    @app.server.get(f"{options.url_prefix}bucket")
    def bucket() -> Response | tuple[Response, int]:
        answer, status = tooltip_answer(site, request.args)
        return jsonify(answer), status

    return app
