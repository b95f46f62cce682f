"""Commands and Dagster show and store no part of a password, whatever fails in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import pytest

from snapshot_assets import cli
from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.orchestration.partitions import add_hosts, dagster_key
from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.field_table import DAY
from snapshot_assets_tests.support.pipelines import QUIET
from snapshot_assets_tests.support.secrets import HARD, assert_hidden
from snapshot_assets_tests.support.servers import Redis

COMMANDS = (
    ("live",),
    ("collect", "--once"),
    ("settle", "--from", str(DAY), "--to", str(DAY)),
    ("restore",),
    ("read", "alice"),
    ("doctor",),
)
SURPRISE = """
import logging, sys
from snapshot_assets import cli
from snapshot_assets.cli import live

def surprise(_):
    logging.getLogger("some.driver").warning("login %s", sys.argv[1])
    raise RuntimeError(f"cannot log in with {sys.argv[1]}")

live.open_source = surprise
cli.main(["live"])
"""


@pytest.fixture(params=HARD[::3])
def password(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[quote, str], ids=["escaped", "as it is"])
def environment(
    request: pytest.FixtureRequest, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings whose servers do not answer, with the password in each URL."""
    written = request.param(password, safe="") if request.param is quote else password
    for name, value in {
        "SOURCE_URL": f"mysql://reader:{written}@127.0.0.1:1/monitoring",
        "REDIS_URL": f"redis://reader:{written}@127.0.0.1:1/0",
        "LAKE": f"ftp://reader:{written}@127.0.0.1:1/lake",
        "START_DATE": str(DAY),
    }.items():
        monkeypatch.setenv(f"SNAPSHOT_{name}", value)
    cli._settings.cache_clear()


@pytest.mark.usefixtures("environment")
def test_no_command_shows_a_password(password: str, capfd: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            cli.main(["-v", *command])
        assert ended.value.code in (1, 3)
        shown += capfd.readouterr()
    assert any("SNAPSHOT_SOURCE_URL" in text or "does not answer" in text for text in shown)
    assert_hidden(password, *shown)


@pytest.mark.usefixtures("environment")
def test_a_traceback_and_a_log_line_hide_it_too(password: str) -> None:
    """Errors and log lines of packages, which nobody has seen before."""
    done = subprocess.run(
        [sys.executable, "-c", SURPRISE, password],
        env={**os.environ, "SNAPSHOT_LAKE": "lake"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "WARNING some.driver: login" in done.stderr
    assert "Traceback" in done.stderr
    assert "cannot log in with" in done.stderr
    assert_hidden(password, done.stderr, done.stdout)


@pytest.mark.parametrize("password", [HARD[1]], indirect=True)
@pytest.mark.usefixtures("environment")
def test_dagster_stores_no_password(
    password: str, tmp_path: Path, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is away, an unreadable URL, and a driver's error that nobody expects."""
    home = tmp_path / "home"
    home.mkdir()
    for module in ("assets", "live", "upkeep"):
        path = f"snapshot_assets.orchestration.{module}.OUTAGE_RETRIES"
        monkeypatch.setattr(path, dg.RetryPolicy(max_retries=0))

    def surprise(*_: Any) -> None:
        try:
            raise ValueError(f"login {password}")
        except ValueError as error:
            raise RuntimeError(f"cannot log in with {password}") from error

    with dg.DagsterInstance.local_temp(str(home)) as instance:
        add_hosts(instance, ["alice"])
        key = dagster_key(HostDay(DAY, "alice"))

        def run(job: str, **options: Any) -> str:
            done = (
                build_defs()
                .resolve_job_def(job)
                .execute_in_process(
                    instance=instance, run_config=QUIET, raise_on_error=False, **options
                )
            )
            assert not done.success
            return "\n".join(str(event) for event in done.all_events)

        events = [run("restore_redis"), run("settle", partition_key=key)]
        monkeypatch.setenv("SNAPSHOT_LAKE", str(tmp_path / "lake"))
        monkeypatch.setenv("SNAPSHOT_REDIS_URL", redis_server.url())
        events.append(run("live"))
        monkeypatch.setattr(ProcessSource, "read_sql", surprise)
        events.append(run("live"))
    assert_hidden(password, *events)
    stored = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert any(b"STEP_FAILURE" in content for content in stored)
    assert_hidden(password, *(content.decode("utf-8", "replace") for content in stored))
