"""``snapshot-assets dashboard`` in a process of its own: alone, behind nginx, with Redis gone."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from snapshot_assets.cli.leash import LeashedProcess, free_port, wait_until
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start
from snapshot_assets_tests.support.nginx import Nginx
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.world import Clock, World, use

_READY_SECONDS = 60.0
_PROGRAM = (sys.executable, "-m", "snapshot_assets.cli")


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **{f"SNAPSHOT_{name}": value for name, value in settings.items()}}


class Dashboard:
    """A dashboard that runs.

    Attributes:
        url: as it prints it.
    """

    def __init__(self, process: LeashedProcess, url: str) -> None:
        self.process = process
        self.url = url

    @property
    def port(self) -> int:
        """Its TCP port."""
        return int(self.url.split(":")[2].split("/")[0])

    @property
    def server(self) -> psutil.Process:
        """The process itself, behind its leash."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    def end(self, signum: int) -> int:
        """Send it a signal; its exit code."""
        self.server.send_signal(signum)
        return self.process._leash.wait(15)

    def get(self, path: str, **options: Any) -> requests.Response:
        """What a browser gets."""
        return requests.get(f"{self.url}{path}", timeout=10, **options)


@contextmanager
def running(
    folder: Path, *arguments: str, under: Sequence[str] = (), **settings: str
) -> Iterator[Dashboard]:
    log = folder / "dashboard.log"
    command = [*under, *_PROGRAM, "dashboard", "--port", "0", *arguments]
    with LeashedProcess(
        command, log=log, environment={**environment(settings), "PYTHONUNBUFFERED": "1"}
    ) as process:
        wait_until(lambda: "Dashboard  http" in log.read_text(), process, _READY_SECONDS)
        (url,) = re.findall(r"^Dashboard  (http://\S+/)$", log.read_text(), re.M)
        yield Dashboard(process, url)
    assert "Traceback" not in log.read_text()


def refused(*arguments: str, code: int = 1, **settings: str) -> str:
    """The one line that a dashboard which does not start leaves."""
    done = subprocess.run(
        [*_PROGRAM, "dashboard", *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def made_line(name: str, password: str) -> str:
    done = subprocess.run(
        [*_PROGRAM, "dashboard-password", name],
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert password not in done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    path.write_text(made_line("ana", "corréct: hörse"))
    return path


def now_world(redis: Redis) -> World:
    """A store whose newest bucket is of this moment, as programs on their own see it."""
    now = time.time()
    world = World(redis, clock=Clock(now))
    newest = bucket_start(now) - BUCKET_SECONDS
    world.write("alice", {newest: use({("ana", "python"): 2.0})})
    return world


def test_it_starts_without_redis_and_goes_on_when_it_comes_and_goes(tmp_path: Path) -> None:
    redis = Redis(tmp_path / "redis")
    with running(tmp_path, REDIS_URL=redis.url()) as dashboard:

        def until(status: int, reported: str) -> None:
            deadline = time.monotonic() + 20
            while True:
                answer = dashboard.get("healthz")
                assert "Traceback" not in answer.text
                if (answer.status_code, answer.json()["status"]) == (status, reported):
                    return
                assert time.monotonic() < deadline, answer.text
                time.sleep(0.2)

        until(503, "outage")
        assert dashboard.get("").status_code == 200
        assert dashboard.get("pulse").status_code == 503
        with redis:
            until(200, "empty")
            now_world(redis)
            until(200, "ok")
            assert dashboard.get("pulse").json()["hosts"] == 1
        until(503, "outage")
        assert "snapshot_dashboard_redis_up 0.0" in dashboard.get("metrics").text
        assert dashboard.end(signal.SIGTERM) == 0


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(redis_server: Redis, tmp_path: Path, signum: int) -> None:
    with running(tmp_path, REDIS_URL=redis_server.url()) as dashboard:
        with requests.Session() as idle:  # a page that is open keeps its connection
            assert idle.get(dashboard.url, timeout=10).status_code == 200
            started = time.monotonic()
            assert dashboard.end(signum) == 0
            assert time.monotonic() - started < 8
        assert dashboard.process.log.read_text().splitlines()[-1] == "stopped"
        with pytest.raises(requests.ConnectionError):
            dashboard.get("healthz")


def test_it_does_not_name_its_software_and_rejects_giants(
    redis_server: Redis, tmp_path: Path
) -> None:
    with running(tmp_path, REDIS_URL=redis_server.url()) as dashboard:
        answer = dashboard.get("")
        assert "Server" not in answer.headers
        assert "script-src 'self' 'sha256-" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert dashboard.get("", headers={"X-Long": "x" * 100_000}).status_code == 431
        url = f"{dashboard.url}_dash-update-component"
        with requests.Session() as session:
            try:
                sent = session.post(url, data=b" " * 8_000_000, timeout=10)
            except requests.ConnectionError:
                pass  # it hung up on us
            else:
                assert sent.status_code == 413


def test_many_open_pages_are_served(redis_server: Redis, tmp_path: Path) -> None:
    """Each keeps a connection; by default waitress has a hundred, and systems few files."""
    few_files = ("sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh")
    with (
        running(tmp_path, under=few_files, REDIS_URL=redis_server.url()) as dashboard,
        ExitStack() as idle,
    ):
        for _ in range(400):
            idle.enter_context(socket.create_connection(("127.0.0.1", dashboard.port), 10))
        assert dashboard.get("healthz").status_code == 200


# --- what does not start -------------------------------------------------------------------------


def test_a_port_in_use_is_reported_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused("--port", port)
    assert line.startswith(f"snapshot-assets: port {port} of 127.0.0.1 is in use; ")
    assert "--port" in line


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])
def test_without_authentication_other_machines_are_not_served(host: str) -> None:
    line = refused("--host", host, "--port", "0")
    for fix in ("PASSWORD_FILE", "USER_HEADER", "TRUSTED_PROXIES", "--allow-anonymous"):
        assert fix in line


@pytest.mark.parametrize(
    ("host", "reported"),
    [("no host", "there is no address 'no host'"), ("192.0.2.1", "has no address 192.0.2.1")],
)
def test_an_address_of_another_machine_is_reported_in_one_line(host: str, reported: str) -> None:
    line = refused("--host", host, "--port", "0", "--allow-anonymous")
    assert reported in line
    assert "--host" in line


def test_wrong_settings_are_reported_in_one_line(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("ana:plain-text\n")
    line = refused(DASHBOARD_PASSWORD_FILE=str(passwords))
    assert f"{passwords}, line 1: " in line
    assert "plain-text" not in line
    assert "TRUSTED_PROXIES: is needed" in refused(DASHBOARD_USER_HEADER="X-Remote-User")
    assert "SNAPSHOT_REDIS_URL" in refused(REDIS_URL="http://127.0.0.1")


def test_other_machines_are_served_with_authentication_or_by_option(
    redis_server: Redis, tmp_path: Path, passwords: Path
) -> None:
    everywhere = ("--host", "0.0.0.0")
    url = redis_server.url()
    file = str(passwords)
    with running(tmp_path, *everywhere, REDIS_URL=url, DASHBOARD_PASSWORD_FILE=file) as dashboard:
        assert dashboard.url.startswith("http://0.0.0.0:")
        for path in ("", "pulse", "metrics", "_dash-layout", "_dash-dependencies", "assets/x.js"):
            assert dashboard.get(path).status_code == 401, path
        assert dashboard.get("healthz").status_code == 200
        login = (b"ana", "corréct: hörse".encode())
        assert dashboard.get("pulse", auth=login).status_code == 200
        assert dashboard.get("pulse", auth=("ana", "wrong")).status_code == 401
    assert "wrong name or password from 127.0.0.1" in dashboard.process.log.read_text()
    again = tmp_path / "again"
    with running(again, *everywhere, "--allow-anonymous", REDIS_URL=url) as dashboard:
        assert dashboard.get("pulse").status_code == 200


# --- the password's line -------------------------------------------------------------------------


def test_the_prompt_wants_a_password_twice_and_does_not_show_it() -> None:
    def answered(*given: str) -> tuple[int, str, str]:
        ours, theirs = os.openpty()
        process = subprocess.Popen(
            [*_PROGRAM, "dashboard-password", "ana"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        with process, os.fdopen(ours, "r+b", buffering=0) as terminal:
            os.close(theirs)
            shown = ""
            for text in given:
                # What is typed before the question is asked would be shown, and thrown away.
                while not shown.endswith(": "):
                    shown += os.read(terminal.fileno(), 1000).decode()
                terminal.write(f"{text}\n".encode())
                shown += "|"
            printed = process.communicate(timeout=30)[0]
            return process.returncode, shown, printed

    code, shown, printed = answered("hunter2", "hunter2")
    assert code == 0
    assert printed.startswith("ana:scrypt:")
    assert shown.startswith("Password: |")
    assert "hunter2" not in shown + printed


@pytest.mark.parametrize(("name", "typed"), [("a:b", "x"), ("ana", "")])
def test_what_makes_no_line_is_wrong_usage(name: str, typed: str) -> None:
    done = subprocess.run(
        [*_PROGRAM, "dashboard-password", name],
        input=f"{typed}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Error: the " in done.stderr
    assert done.stdout == ""


# --- behind nginx --------------------------------------------------------------------------------


@contextmanager
def behind_nginx(
    redis: Redis, folder: Path, trusted: str, users: Sequence[tuple[str, str]]
) -> Iterator[tuple[Nginx, Dashboard]]:
    with (
        running(
            folder,
            REDIS_URL=redis.url(),
            DASHBOARD_PREFIX="usage",
            DASHBOARD_USER_HEADER="X-Remote-User",
            DASHBOARD_TRUSTED_PROXIES=trusted,
        ) as dashboard,
        Nginx(folder / "nginx", dashboard.port, dict(users)) as nginx,
    ):
        yield nginx, dashboard


def test_the_pages_work_behind_the_shipped_nginx(redis_server: Redis, tmp_path: Path) -> None:
    now_world(redis_server)
    login = ("ana", "a")
    with behind_nginx(redis_server, tmp_path, "127.0.0.1", [login]) as (nginx, dashboard):
        assert dashboard.url.endswith("/usage/")
        page = nginx.get("/usage/", login)
        assert page.status_code == 200
        loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(loaded) > 5
        for path in loaded:
            assert path.startswith("/usage/"), path
            assert nginx.get(path, login).status_code == 200, path
        assert nginx.get("/usage/_dash-layout", login).status_code == 200
        assert nginx.get("/usage/pulse", login).json()["hosts"] == 1
        for path in ("/usage/", "/usage/pulse", "/usage/_dash-layout", loaded[0]):
            assert nginx.get(path).status_code == 401
        assert nginx.get("/usage/healthz").json()["status"] == "ok"
        # Straight to it, without a name.
        assert dashboard.get("pulse").status_code == 401
        # Prometheus, on the machine of a trusted address.
        reported = dashboard.get("metrics", headers={"X-Remote-User": "prometheus"})
        assert 'endpoint="pulse",status="401"' in reported.text


def test_a_proxy_that_is_not_trusted_signs_nobody_in(redis_server: Redis, tmp_path: Path) -> None:
    login = ("ana", "a")
    with behind_nginx(redis_server, tmp_path, "192.0.2.1", [login]) as (nginx, dashboard):
        answer = nginx.get("/usage/pulse", login)
        assert answer.status_code == 403
        assert "127.0.0.1 is not one of them" in answer.text
        claims = {
            "X-Remote-User": "ana",
            "X-Forwarded-For": "192.0.2.1",
            "X-Forwarded-Host": "192.0.2.1",
            "X-Real-IP": "192.0.2.1",
            "Forwarded": "for=192.0.2.1",
        }
        assert dashboard.get("pulse", headers=claims).status_code == 403


def test_the_port_is_free_again_at_once(redis_server: Redis, tmp_path: Path) -> None:
    port = str(free_port())
    for _ in range(2):
        with (
            running(tmp_path / "log", "--port", port, REDIS_URL=redis_server.url()) as dashboard,
            requests.Session() as page,
        ):
            # A connection that the server closes lingers at its port.
            assert page.get(f"{dashboard.url}healthz", timeout=10).status_code == 200
            assert dashboard.end(signal.SIGTERM) == 0
        (tmp_path / "log" / "dashboard.log").unlink()
