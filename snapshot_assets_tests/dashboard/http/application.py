"""An application behind the dashboard's access rules, and requests to it."""

from __future__ import annotations

import base64
from ipaddress import ip_network

import flask
from werkzeug.security import generate_password_hash

from snapshot_assets.dashboard.http.access import current_user, install_access
from snapshot_assets.dashboard.http.headers import install_headers
from snapshot_assets.dashboard.options import AccessOptions, DashboardOptions

HEADER = "X-Remote-User"
TRUSTED = tuple(map(ip_network, ("10.1.0.0/24", "127.0.0.1", "fd00::/64", "fe80::/64")))
PASSWORD = "corréct hörse: battery"


def quick_line(name: str, password: str) -> str:
    """A line that is verified in no time, where time is not what is tested."""
    return f"{name}:{generate_password_hash(password, 'pbkdf2:sha256:1')}"


def application(
    access: AccessOptions, prefix: str = "/", csp: str = "default-src 'self'"
) -> flask.Flask:
    """An application that says who asks."""
    server = flask.Flask(__name__)
    install_access(server, DashboardOptions(url_prefix=prefix, access=access))
    install_headers(server, lambda: csp)
    for name in ("whoami", "metrics"):
        server.add_url_rule(f"{prefix}{name}", name, lambda: f"you are {current_user()}")
    for name in ("healthz", "sent"):
        server.add_url_rule(f"{prefix}{name}", name, lambda: dict(flask.request.headers))
    return server


def ask(
    server: flask.Flask, path: str = "/whoami", peer: str = "127.0.0.1", **headers: str
) -> tuple[int, str]:
    """Status and text; keywords are headers with underscores for dashes."""
    answer = server.test_client().get(
        path,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        environ_overrides={"REMOTE_ADDR": peer},
    )
    return answer.status_code, answer.text


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()
