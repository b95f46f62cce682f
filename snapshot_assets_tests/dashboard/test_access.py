"""Who gets in: headers, passwords, proxies, and what is asked of browsers."""

from __future__ import annotations

import base64
import logging
import os
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import dash
import flask
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.security import generate_password_hash

from snapshot_assets.dashboard.access import (
    PasswordFile,
    content_security_policy,
    current_user,
    install_access,
    install_headers,
    password_line,
)
from snapshot_assets.dashboard.options import AccessOptions, DashboardOptions
from snapshot_assets.errors import SettingsError
from snapshot_assets_tests.dashboard.nginx import Nginx
from snapshot_assets_tests.dashboard.world import served

HEADER = "X-Remote-User"
TRUSTED = tuple(map(ip_network, ("10.1.0.0/24", "127.0.0.1", "fd00::/64", "fe80::/64")))
PASSWORD = "corréct hörse: battery"


def quick_line(name: str, password: str) -> str:
    """A line that is verified in no time, where time is not what is tested."""
    return f"{name}:{generate_password_hash(password, 'pbkdf2:sha256:1')}"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    path.write_text(f"# who may look\n\n{quick_line('ana', PASSWORD)}\n{quick_line('ben', 'b')}\n")
    return path


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


def is_trusted(peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in TRUSTED)


def test_without_options_everybody_is_served_without_a_name() -> None:
    assert ask(application(AccessOptions()), X_Remote_User="ana") == (200, "you are None")


# --- the header ----------------------------------------------------------------------------------


@given(
    peer=st.one_of(
        st.ip_addresses().map(str),
        st.ip_addresses(v=4).map(lambda address: f"::ffff:{address}"),
        st.ip_addresses(network="10.0.0.0/14").map(str),
        st.sampled_from(["", "localhost", "unix", "10.1.0.1, 192.0.2.1", "10.1.0.256"]),
    ),
    user=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")),
    forwarded=st.sampled_from(["127.0.0.1", "10.1.0.7"]),
    password=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_header_from_elsewhere_never_signs_in(
    password_file: Path, peer: str, user: str, forwarded: str, password: bool
) -> None:
    path = password_file if password else None
    server = application(AccessOptions(HEADER, TRUSTED, path))
    told = ask(
        server,
        peer=peer,
        X_Remote_User=user,
        X_Forwarded_For=forwarded,
        Forwarded=f"for={forwarded}",
        Authorization=basic("ana", PASSWORD),
    )
    if is_trusted(peer):
        assert told[0] in {200, 401, 403}
    else:
        assert told[0] == 403
        assert "believed only from trusted proxies" in told[1]


@pytest.mark.parametrize(
    "peer", ["127.0.0.1", "10.1.0.255", "::ffff:10.1.0.1", "fd00::9", "fe80::1%eth0"]
)
def test_a_trusted_proxy_says_who_asks(peer: str) -> None:
    server = application(AccessOptions(HEADER, TRUSTED))
    assert ask(server, peer=peer, X_Remote_User="ana") == (200, "you are ana")


def test_names_are_utf_8() -> None:
    server = application(AccessOptions(HEADER, TRUSTED))
    sent = "Zoë 😀".encode().decode("latin-1")
    assert ask(server, X_Remote_User=sent) == (200, "you are Zoë 😀")
    assert ask(server, X_Remote_User="Zo\xeb") == (200, "you are Zo\N{REPLACEMENT CHARACTER}")


def test_without_the_header_nobody_is_signed_in() -> None:
    server = application(AccessOptions(HEADER, TRUSTED))
    status, told = ask(server)
    assert status == 401
    assert "through the reverse proxy" in told
    assert ask(server, X_Remote_User="  ")[0] == 401
    assert ask(server, Authorization=basic("ana", "x"))[0] == 401


def test_a_proxy_that_adds_to_the_clients_header_is_found_out() -> None:
    status, told = ask(application(AccessOptions(HEADER, TRUSTED)), X_Remote_User="root, ana")
    assert status == 403
    assert "more than once" in told


# --- passwords -----------------------------------------------------------------------------------


def test_a_password_signs_in(password_file: Path) -> None:
    server = application(AccessOptions(password_file=password_file))
    for _ in range(2):  # looked up, then remembered
        told = ask(server, Authorization=basic("ana", PASSWORD))
        assert told == (200, "you are ana")
    for name, password in (
        ("ana", "b"),
        ("ben", PASSWORD),
        ("ana", ""),
        ("", ""),
        ("", PASSWORD),
        ("Ana", PASSWORD),
        ("eve", PASSWORD),
        ("# who may look", ""),
    ):
        assert ask(server, Authorization=basic(name, password))[0] == 401


def test_browsers_are_asked_for_a_password(password_file: Path) -> None:
    server = application(AccessOptions(password_file=password_file))
    answer = server.test_client().get("/whoami")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="snapshot_assets", charset="UTF-8"'
    assert answer.mimetype == "text/plain"


@given(
    sent=st.one_of(
        st.binary().map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
        st.text(st.characters(min_codepoint=32, max_codepoint=126)),
        st.sampled_from(["Basic", "Basic ", "Bearer abc", "Digest username=ana", "basic Og=="]),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_sent_as_a_password_is_refused_in_order(password_file: Path, sent: str) -> None:
    server = application(AccessOptions(password_file=password_file))
    assert ask(server, Authorization=sent)[0] == 401


def test_either_suffices(password_file: Path) -> None:
    server = application(AccessOptions(HEADER, TRUSTED, password_file))
    assert ask(server, X_Remote_User="eve") == (200, "you are eve")
    # The login at the proxy, which it passes on, is not one of ours.
    told = ask(server, X_Remote_User="eve", Authorization=basic("eve", "proxy's"))
    assert told == (200, "you are eve")
    told = ask(server, peer="192.0.2.1", Authorization=basic("ana", PASSWORD))
    assert told == (200, "you are ana")
    assert ask(server)[0] == 401


def test_a_changed_file_is_read_again(
    password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = application(AccessOptions(password_file=password_file))

    def status(name: str, password: str) -> int:
        return ask(server, Authorization=basic(name, password))[0]

    assert status("ana", PASSWORD) == 200
    password_file.write_text(f"{quick_line('ben', 'b')}\n{quick_line('cleo', 'see')}\n")
    assert [status("ana", PASSWORD), status("ben", "b"), status("cleo", "see")] == [401, 200, 200]

    # Another file in its place, of the same size and time.
    before = password_file.stat()
    other = password_file.with_name("other")
    other.write_text(f"{quick_line('ben', 'b')}\n{quick_line('cleo', 'sea')}\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(password_file)
    assert password_file.stat().st_size == before.st_size
    assert [status("cleo", "see"), status("cleo", "sea")] == [401, 200]

    password_file.write_text("dora:plain-secret\n")
    assert [status("cleo", "sea"), status("dora", "plain-secret")] == [200, 401]
    password_file.unlink()
    assert [status("cleo", "sea"), status("ben", "b")] == [200, 200]
    password_file.write_text("# nobody any more\n")
    assert status("cleo", "sea") == 401

    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(told) == 2  # each once, not at each request
    assert f"{password_file}, line 1" in told[0]
    assert "No such file" in told[1]
    for secret in ("plain-secret", PASSWORD, "see", "sea"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"hunter2", "there is no colon"),
        (b":hunter2", "the name is empty"),
        (b" :hunter2", "the name is empty"),
        (b"a\x00b:hunter2", "control character"),
        (b"ana:hunter2", "'ana' has behind the colon is no hash"),
        (b"ana:{SHA}hunter2", "is no hash"),
        (b"ana:$2y$10$hunter2", "is no hash"),
        (b"ana:scrypt:32768:8:1$hunter2$zz", "is no hash"),
        (b"ana:scrypt:3:8:1$hunter2$00", "cannot be computed"),
        (b"ana:scrypt:99999999999999999999:8:1$hunter2$00", "cannot be computed"),
        (b"ana:pbkdf2:rot13:1$hunter2$00", "cannot be computed"),
        (b"ben:" + quick_line("ben", "hunter2").partition(":")[2].encode(), "also in line 2"),
        (b"\xff:hunter2", "not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_with_its_fix(tmp_path: Path, line: bytes, told: str) -> None:
    path = tmp_path / "passwords"
    path.write_bytes(f"# comment\n{quick_line('ben', 'b')}\n".encode() + line + b"\n")
    with pytest.raises(SettingsError) as raised:
        application(AccessOptions(password_file=path))
    message = str(raised.value)
    assert message.startswith(f"SNAPSHOT_DASHBOARD_PASSWORD_FILE: {path}, line 3: ")
    assert told in message
    assert message.rpartition("; ")[2]  # the fix
    assert "hunter2" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(SettingsError, match=f"{path} cannot be read .*dashboard-password NAME"):
            application(AccessOptions(password_file=path))


def test_files_of_other_systems_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_bytes(b"\xef\xbb\xbf" + f"  {quick_line('ana', 'a')}\r\n\r\n".encode())
    assert PasswordFile(path).verify("ana", "a")


@pytest.mark.parametrize("name", ["", " ana", "a:b", "#ana", "a\nb"])
def test_no_line_is_made_for_a_name_that_cannot_be_read_back(name: str) -> None:
    with pytest.raises(ValueError, match="the name"):
        password_line(name, "x")


def timed(path: PasswordFile, name: str, password: str) -> float:
    started = time.perf_counter()
    path.verify(name, password)
    return time.perf_counter() - started


def test_what_takes_how_long_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text(f"{password_line('ana', 'a')}\n{password_line('ben', 'b')}\n")
    passwords = PasswordFile(path)
    first = timed(passwords, "ana", "a")
    remembered = min(timed(passwords, "ana", "a") for _ in range(5))
    wrong = min(timed(passwords, "ana", "x") for _ in range(5))
    unknown = min(timed(passwords, "eve", "x") for _ in range(5))
    assert remembered < first / 10
    assert 1 / 3 < unknown / wrong < 3


def test_a_flood_of_wrong_passwords_leaves_room_for_the_others(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text(f"{password_line('ana', 'a')}\n")
    server = application(AccessOptions(password_file=path))
    over = threading.Event()
    seen: list[int] = []

    with served(server) as port:
        url = f"http://127.0.0.1:{port}/whoami"

        def flood() -> None:
            with requests.Session() as session:
                while not over.is_set():
                    seen.append(session.get(url, auth=("eve", "x"), timeout=30).status_code)

        with requests.Session() as session:
            assert session.get(url, auth=("ana", "a"), timeout=30).text == "you are ana"
            threads = [threading.Thread(target=flood) for _ in range(16)]
            for thread in threads:
                thread.start()
            try:
                while len(seen) < 50:
                    time.sleep(0.01)
                waits = []
                for _ in range(10):
                    started = time.perf_counter()
                    answer = session.get(url, auth=("ana", "a"), timeout=30)
                    waits.append(time.perf_counter() - started)
                    assert answer.text == "you are ana"
            finally:
                over.set()
                for thread in threads:
                    thread.join()
    assert set(seen) == {401, 503}
    assert sorted(waits)[5] < 0.5


# --- what is open --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["/", "/usage/"])
def test_health_is_open_and_metrics_only_if_told(password_file: Path, prefix: str) -> None:
    closed = application(AccessOptions(password_file=password_file), prefix)
    told = AccessOptions(password_file=password_file, open_metrics=True)
    opened = application(told, prefix)
    for server, name, status in (
        (closed, "healthz", 200),
        (closed, "metrics", 401),
        (opened, "healthz", 200),
        (opened, "metrics", 200),
        (opened, "whoami", 401),
        (opened, "healthz/", 401),
        (opened, "metrics/../whoami", 401),
        (opened, "absent", 401),
    ):
        assert ask(server, f"{prefix}{name}")[0] == status, name
    assert ask(closed, f"{prefix}metrics", Authorization=basic("ana", PASSWORD))[0] == 200


# --- security headers ----------------------------------------------------------------------------


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
            told = client.get(path, headers=headers).headers
            assert told["Content-Security-Policy"] == "default-src 'none'"
            assert told["X-Content-Type-Options"] == "nosniff"
            assert told["Referrer-Policy"] == "same-origin"
            assert told["Cross-Origin-Opener-Policy"] == "same-origin"
            assert "camera=()" in told["Permissions-Policy"]
            assert told["Cache-Control"] == "no-store"


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


# --- behind nginx --------------------------------------------------------------------------------


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
    told = nginx.get("/usage/whoami", ("Zoë".encode().decode("latin-1"), "z"))
    assert told.text == "you are Zoë"
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
        told = nginx.get("/usage/whoami", ("ana", "a"), {name: "root", "X-Forwarded-For": "::1"})
        assert told.text == "you are ana"
        assert nginx.get("/usage/whoami", headers={name: "root"}).status_code == 401
    # Here nobody has to sign in, and so nobody may become somebody.
    told = nginx.get("/usage/healthz", ("root", "unproven"), {"X-Remote-User": "root"})
    assert not {"X-Remote-User", "Authorization"} & set(told.json())


def test_the_shipped_nginx_keeps_the_paths(proxied: tuple[Nginx, int]) -> None:
    nginx, _ = proxied
    moved = nginx.get("/usage")
    assert (moved.status_code, moved.headers["Location"]) == (301, "/usage/")
    assert nginx.get("/usage/metrics", ("ana", "a")).status_code == 404
    assert nginx.get("/other", ("ana", "a")).status_code == 404
