"""Every benchmark runs once, tiny, by the command of ``make bench``. No test checks a figure."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import TINY

ROOT = Path(__file__).parent.parent

# Lines near the end of each benchmark's output: if they are there, all parts have run.
SHORT = {
    "settle_day": (r"^\| write \|", r"^ours: published CPU is the ledger's attributed CPU"),
    "prove": (r"^\| prove ÷ settle \|", r"^\| proof, into Arrow", r"^\*\*A million rows recounted"),
    "read_store": (r"^\*\*6 hosts loaded: all hosts, 24 h\*\*$", r"^\| 2 days, KEYS and GET \|"),
    "write_store": (r"^\| 3 \|", r"^\| summaries by hour and day \|"),
    "collect": (r"^\| /proc, and written to MariaDB \|", r"^\| psutil \|"),
    "choices": (r"^\| lz4 \|", r"^\| RESP3 \|", r"^\| 3,000 commands \|", r"^\| as usual \|"),
}
LONG = {
    "dashboard": (r"^\*\*5 hosts, 30d\*\*$", r"^\| 5 hosts, straightforward \|"),
    "operate": (r"^live tick: [\d.]+ s a run", r"^a day: [\d,]+ events"),
}


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def runs_through(name: str, printed: tuple[str, ...]) -> None:
    done = benchmarks("--tiny", name)
    assert done.returncode == 0, done.stderr
    for line in printed:
        assert re.search(line, done.stdout, re.M), f"{line} is not in:\n{done.stdout}"
    assert not re.search(r"\bnan\b|\binf\b", done.stdout), done.stdout


@pytest.mark.parametrize("name", SHORT)
def test_a_benchmark_runs_through(name: str) -> None:
    runs_through(name, SHORT[name])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", LONG)
def test_a_long_benchmark_runs_through(name: str) -> None:
    runs_through(name, LONG[name])


def test_no_benchmark_is_left_out() -> None:
    mains = {
        file.stem
        for file in (ROOT / "benchmarks").glob("*.py")
        if re.search(r"^def main\(", file.read_text(), re.M)
    }
    assert mains - {"__main__"} == set(TINY) == {*SHORT, *LONG}


def test_make_bench_is_this_command() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "bench", "ARGS=--tiny choices"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1].endswith("python -m benchmarks --tiny choices")


def test_a_benchmark_that_fails_ends_make_bench() -> None:
    done = benchmarks("choices", "--days", "none")
    assert done.returncode != 0
    assert done.stderr.endswith("benchmarks: choices failed\n")
    assert benchmarks("no_such").returncode == 2
