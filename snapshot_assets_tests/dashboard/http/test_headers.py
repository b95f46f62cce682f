"""The security headers."""

from __future__ import annotations

from pathlib import Path

import dash

from snapshot_assets.dashboard.http.headers import content_security_policy, install_headers
from snapshot_assets.dashboard.options import AccessOptions
from snapshot_assets_tests.dashboard.http.application import (
    PASSWORD,
    application,
    basic,
)


def test_the_policy_names_dashs_inline_scripts_and_nothing_else() -> None:
    app = dash.Dash(__name__)
    app.layout = dash.html.Div()
    rules = dict(
        rule.split(" ", 1) for rule in content_security_policy(app.csp_hashes()).split("; ")
    )
    assert rules["script-src"].startswith("'self' 'sha256-")
    assert "unsafe" not in rules["script-src"]
    assert rules["default-src"] == rules["connect-src"] == "'self'"
    assert rules["object-src"] == rules["base-uri"] == "'none'"
    assert rules["frame-ancestors"] == "'self'"
    assert not any("*" in sources or "http" in sources for sources in rules.values())


def test_every_answer_has_the_headers(password_file: Path) -> None:
    server = application(AccessOptions(password_file=password_file), csp="default-src 'none'")
    client = server.test_client()
    for headers in ({}, {"Authorization": basic("ana", PASSWORD)}):
        for path in ("/whoami", "/absent"):
            reported = client.get(path, headers=headers).headers
            assert reported["Content-Security-Policy"] == "default-src 'none'"
            assert reported["X-Content-Type-Options"] == "nosniff"
            assert reported["Referrer-Policy"] == "same-origin"
            assert reported["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "camera=()" in reported["Permissions-Policy"]
            assert reported["Cache-Control"] == "no-store"


def test_data_is_not_kept_by_browsers_and_scripts_are() -> None:
    app = dash.Dash(__name__)
    app.layout = dash.html.Div("secret")
    install_headers(app.server, lambda: content_security_policy(app.csp_hashes()))
    client = app.server.test_client()
    for path in ("/", "/_dash-layout", "/_dash-dependencies"):
        assert client.get(path).headers["Cache-Control"] == "no-store", path
    page = client.get("/").text
    suites = [text.split('"')[0] for text in page.split('src="')[1:]]
    assert suites
    for path in suites:
        assert "max-age" in client.get(path).headers["Cache-Control"], path
