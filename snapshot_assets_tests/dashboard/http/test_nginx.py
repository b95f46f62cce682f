"""The shipped nginx configuration in front of the application."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from snapshot_assets.dashboard.options import AccessOptions
from snapshot_assets_tests.dashboard.http.application import (
    HEADER,
    application,
)
from snapshot_assets_tests.support.nginx import Nginx
from snapshot_assets_tests.support.world import served


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[tuple[Nginx, int]]:
    """The application behind nginx, and the port at which it can be reached without."""
    access = AccessOptions(HEADER, (ip_network("127.0.0.1"),))
    with (
        served(application(access, "/usage/")) as port,
        Nginx(tmp_path / "nginx", port, {"ana": "a", "Zoë": "z"}) as nginx,
    ):
        yield nginx, port


def test_the_shipped_nginx_signs_in(proxied: tuple[Nginx, int]) -> None:
    nginx, _ = proxied
    assert nginx.get("/usage/whoami", ("ana", "a")).text == "you are ana"
    reported = nginx.get("/usage/whoami", ("Zoë".encode().decode("latin-1"), "z"))
    assert reported.text == "you are Zoë"
    refused = nginx.get("/usage/whoami")
    assert refused.status_code == 401
    assert "nginx" in refused.text  # it does not come as far as us
    assert nginx.get("/usage/whoami", ("ana", "x")).status_code == 401
    sent = nginx.get("/usage/sent", ("ana", "a")).json()
    assert "Authorization" not in sent
    assert sent["Host"] == f"localhost:{nginx.port}"


def test_the_shipped_nginx_replaces_what_the_browser_claims(proxied: tuple[Nginx, int]) -> None:
    nginx, _ = proxied
    for name in ("X-Remote-User", "X_Remote_User", "x-remote-user"):
        reported = nginx.get(
            "/usage/whoami", ("ana", "a"), {name: "root", "X-Forwarded-For": "::1"}
        )
        assert reported.text == "you are ana"
        assert nginx.get("/usage/whoami", headers={name: "root"}).status_code == 401
    # Here nobody has to sign in, and so nobody may become somebody.
    reported = nginx.get("/usage/healthz", ("root", "unproven"), {"X-Remote-User": "root"})
    assert not {"X-Remote-User", "Authorization"} & set(reported.json())


def test_the_shipped_nginx_keeps_the_paths(proxied: tuple[Nginx, int]) -> None:
    nginx, _ = proxied
    moved = nginx.get("/usage")
    assert (moved.status_code, moved.headers["Location"]) == (301, "/usage/")
    assert nginx.get("/usage/metrics", ("ana", "a")).status_code == 404
    assert nginx.get("/other", ("ana", "a")).status_code == 404
