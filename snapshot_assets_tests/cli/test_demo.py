"""The demo, end to end; no process and no folder is left, however the demo ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from snapshot_assets.cli.demo.command import _temporary_folder
from snapshot_assets_tests.support.servers import Redis


@pytest.fixture
def marker() -> str:
    """A text for the environment of a demo, which every process that the demo starts inherits."""
    return f"{os.getpid()}-{time.time_ns()}"


def demo(marker: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "snapshot_assets.cli", "demo", *arguments],
        env={**os.environ, "COLUMNS": "160", "DEMO_MARKER": marker, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def survivors(marker: str, patience: float = 25.0) -> list[str]:
    """The processes with the marker that still run when the patience, in seconds, is over."""
    deadline = time.monotonic() + patience
    while True:
        alive = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("DEMO_MARKER") == marker:
                    alive.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.2)


def folders(process: subprocess.Popen[str]) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"snapshot-assets-demo-{process.pid}-*"))


def until(process: subprocess.Popen[str], text: str) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if text in line:
            return
    raise AssertionError(f"ended without {text!r}")


def test_once_shows_the_busiest_and_leaves_nothing(marker: str) -> None:
    process = demo(marker, "--once")
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    assert "Settled 42 host-days, 11 checks passed" in output
    for name in ("alice", "carol", "Busiest users", "core-hours"):
        assert name in output
    assert not survivors(marker)
    assert not folders(process)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_runs_on_until_a_signal_and_takes_everything_with_it(
    marker: str, signum: signal.Signals
) -> None:
    process = demo(marker)
    lines = list(until(process, "Ctrl-C ends it all"))
    (address,) = [line.split()[-1] for line in lines if line.startswith("Dagster UI")]
    with urllib.request.urlopen(address.split("/asset")[0] + "/server_info", timeout=10) as answer:
        assert answer.status == 200
    (dashboard,) = [line.split()[-1] for line in lines if line.startswith("Dashboard")]
    with urllib.request.urlopen(f"{dashboard}pulse", timeout=10) as answer:
        pulse = json.load(answer)
    assert pulse["hosts"] >= 1
    assert time.time() - pulse["newest"] < 900
    assert len(survivors(marker, patience=0)) > 5, "server, leashes, dashboard, UI, daemon"
    process.send_signal(signum)
    process.communicate(timeout=40)
    assert not survivors(marker)
    if signum is not signal.SIGKILL:
        assert process.returncode == 0
        assert not folders(process)
    else:
        assert folders(process), "no process was left to remove it"
        with _temporary_folder() as own:
            assert own.exists()
            assert not folders(process), "the next demo does"


def test_a_given_redis_is_used_under_a_prefix_of_its_own(
    marker: str, redis_server: Redis, tmp_path: Path
) -> None:
    with redis_server.client() as client:
        client.config_resetstat()
        client.set("theirs", 1)
    (tmp_path / ".env").write_text("SNAPSHOT_SOURCE_TABLE=not_for_the_demo\n")
    process = demo(marker, "--once", SNAPSHOT_REDIS_URL=redis_server.url())
    output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    with redis_server.client() as client:
        stats: Any = client.info("commandstats")
        assert stats["cmdstat_hset"]["calls"] > 1_000, "the demo used this server"
        assert client.keys() == [b"theirs"], "the demo removed its own keys"
