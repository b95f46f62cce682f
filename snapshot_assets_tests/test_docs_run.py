"""Every block of the pages that can run is run, as it stands, on private servers.

A block that cannot run says why in a comment ``<!-- not run: … -->`` in front of it, and is listed
here. Only the addresses of servers are replaced, by those of the tests.
"""

from __future__ import annotations

import csv
import datetime as dt
import inspect
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from snapshot_assets import AsyncRedisReader, RedisReader, RedisWriter
from snapshot_assets.dashboard.capacity import Capacities
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.measures import MEASURES
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import MachineCount
from snapshot_assets.settings import PREFIX, Settings, describe_settings
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.layout import Retention
from snapshot_assets_tests.support.domain.process_rows import DAY, NOON, Row
from snapshot_assets_tests.support.field_table import load, row
from snapshot_assets_tests.support.markdown import Block, blocks
from snapshot_assets_tests.support.servers import MariaDB, Redis
from snapshot_assets_tests.support.snapshots import WINDOW, used, worked_example

LANGUAGES = {"", "sh", "env", "python", "json", "yaml", "csv"}
NOT_RUN = [
    (
        "README.md",
        "make demo    # see it at work; Ctrl-C ends it and removes everything that it made",
    ),
    ("README.md", "sh tools/bootstrap.sh requirements/all.txt"),
    ("README.md", "snapshot-assets ui"),
    ("README.md", "snapshot-assets dashboard"),
    ("docs/dashboard-access.md", "export SNAPSHOT_DASHBOARD_PASSWORD_FILE=passwords"),
]
# What shows that a block did its work: in its output, or in the file that it writes.
EVIDENCE = {
    "snapshot-assets doctor": r"ok +source: .*\n(.*\n)*ok +redis: .* answers, version",
    "snapshot-assets settle --from 2026-10-05 --to 2026-10-06": (
        r"^ +alice .*\n +bob .*\n\s*\d+ of \d+ checks passed"
    ),
    "snapshot-assets settle --from 2026-10-05 --to 2026-10-05 --host alice": (
        r"^ +alice +1 .*\n\s*\d+ of \d+ checks passed"
    ),
    "snapshot-assets settle --changed": r"^Every settled host-day was made with the",
    "snapshot-assets live": r"rows of 2 hosts, .* documents written",
    "snapshot-assets collect --once": r"^\d+: \d+ processes of ",
    "snapshot-assets restore": r"^1 host-days of 1 days restored.*\n.*rows of 2 hosts",
    'echo "correct horse battery staple" | snapshot-assets dashboard-password ana >> passwords': (
        r"^ana:(scrypt|pbkdf2):"
    ),
}
FOREVER = Retention(*[100 * 366 * 86_400] * 4)
OCTOBER_5 = 1_791_158_400  # 2026-10-05 00:00 UTC


def shells() -> list[Block]:
    return [block for block in blocks("sh") if not block.not_run]


def test_every_block_has_a_language_that_is_tested() -> None:
    assert {block.language for block in blocks()} == LANGUAGES


def test_the_blocks_that_are_not_run_are_these_and_say_why() -> None:
    left_out = [block for block in blocks() if block.not_run]
    assert [(block.page, block.first_line) for block in left_out] == NOT_RUN
    assert all(len(block.not_run) > 20 for block in left_out)


# --- shell --------------------------------------------------------------------------------------


def ours(text: str, mariadb: MariaDB, redis_server: Redis) -> str:
    """The README's settings with the tests' servers in them."""
    for theirs, url in (
        ("mysql://reader:secret@db.example.org/monitoring", mariadb.url()),
        ("redis://:secret@redis.example.org:6379/0", redis_server.url()),
    ):
        assert theirs in text, f"README's settings have no {theirs}"
        text = text.replace(theirs, url)
    return text


@pytest.fixture
def site(mariadb: MariaDB, redis_server: Redis, tmp_path: Path) -> Path:
    """A folder with README's ``.env``; two hosts in the table, on a day in October and just now."""
    (settings,) = [block for block in blocks("env") if block.page == "README.md"]
    text = ours(settings.text, mariadb, redis_server)
    # The day is fixed, the tests run whenever they do.
    (tmp_path / ".env").write_text(f"{text}SNAPSHOT_RETENTION_DAYS=36500\n")
    now = int(time.time())
    with ProcessSource(mariadb.url()) as source:
        load(
            source,
            [
                row(host, start + t, 7, cputimes=t, etimes=t + 100_000)
                for host in ("alice", "bob")
                for start in (OCTOBER_5 + 43_200, now - 900)
                for t in range(0, 900, 60)
            ],
        )
    return tmp_path


def run(text: str, folder: Path) -> str:
    """Run a block as a person would type it, with our commands on PATH; its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-eu", "-c", text],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("page", sorted({block.page for block in shells()}))
def test_the_shell_blocks_of_a_page_do_what_it_says(page: str, site: Path) -> None:
    """One after the other, as somebody who follows the page runs them."""
    for block in shells():
        if block.page != page:
            continue
        shown = run(block.text, site)
        for written in re.findall(r">> (\w+)", block.text):
            shown += (site / written).read_text()
        assert re.search(EVIDENCE[block.first_line], shown, re.MULTILINE), f"{block}\n{shown}"


def test_the_evidence_is_for_blocks_that_exist() -> None:
    assert EVIDENCE.keys() == {block.first_line for block in shells()}


# --- settings and files -------------------------------------------------------------------------


@pytest.mark.parametrize("block", blocks("env"), ids=str)
def test_a_block_of_settings_is_understood(block: Block, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(block.text)
    settings = Settings.load()
    settings.dashboard()
    names = re.findall(r"^(\w+)=", block.text, re.MULTILINE)
    assert len(names) == 3
    assert set(names) <= {name for name, _, _ in describe_settings()}
    assert all(settings.is_set(name.removeprefix(PREFIX).lower()) for name in names)
    if "SNAPSHOT_DASHBOARD_PREFIX" in names:
        assert settings.dashboard_prefix == "/usage/", "the comment is not part of the value"


@pytest.mark.parametrize("block", blocks("csv"), ids=str)
def test_a_file_of_capacities_is_understood(block: Block, tmp_path: Path) -> None:
    (tmp_path / "capacity.csv").write_text(block.text)
    capacities = Capacities(tmp_path / "capacity.csv")
    assert capacities.problem is None
    rows = list(csv.DictReader(block.text.splitlines()))
    assert [str(capacities.get(line["host"]).cores) for line in rows] == ["64.0", "128.0"]


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_block_of_yaml_is_yaml(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)


def shape(value: Any) -> Any:
    """The keys and types of JSON."""
    if isinstance(value, Mapping):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else type(value)


def test_the_document_on_its_page_is_like_those_in_redis() -> None:
    (block,) = blocks("json")
    shown = json.loads(block.text)
    counted = MachineCount(used=np.array([12_900_000] * 2), capacity=np.array([64_000_000] * 2))
    usage = replace(used(*worked_example()), machine=dict.fromkeys(MEASURES, counted))
    (_, body) = documents(usage)["body"]
    assert shape(shown) == shape(json.loads(body))
    for part, field in (("cpu", "cpu_norm"), ("mem", "rss")):
        total = sum(entry[field] for entry in shown[part]["user"]) + shown[part]["other"][field]
        assert shown[part]["command"][field] == pytest.approx(total)


# --- python -------------------------------------------------------------------------------------


def test_the_readme_s_python_reads_what_is_in_redis(redis_server: Redis, tmp_path: Path) -> None:
    """All its blocks, one after the other in one program, with warnings as errors."""
    found = blocks("python")
    assert {block.page for block in found} == {"README.md"}
    program = "\n".join(block.text for block in found)
    theirs = "redis://redis.example.org"
    assert program.count(theirs) == len(found)
    assert f"{DAY.year}, {DAY.month}, {DAY.day}" in program
    december = Window.of_day(dt.date(2026, 12, 1))
    next_month = [Row("alice", december.start + s, cputimes=9.0 * s) for s in (0, 300, 600)]
    with RedisWriter(url=redis_server.url(), retention=FOREVER) as writer:
        writer.replace(["alice"], WINDOW, used(*worked_example()), "settled")
        writer.replace(["alice"], december, used(*next_month, window=december), "settled")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program.replace(theirs, redis_server.url())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"{NOON} 1.0 5.0", f"{NOON + 300} 1.0 5.0"]
    # 540 core-seconds are 0.15 core-hours; the midnight at the end is December's.
    assert re.search(r"^ana +0\.15$", done.stdout, re.MULTILINE)


def test_both_readers_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind, inspect.isroutine) if name[0] != "_"}

    reading = {"get_data", "get_frame", "get_frames", "hosts", "last_update"}
    for kind in (RedisReader, AsyncRedisReader):
        assert reading <= public(kind)
    for name in reading:
        both = [inspect.signature(getattr(kind, name)) for kind in (RedisReader, AsyncRedisReader)]
        assert list(both[0].parameters) == list(both[1].parameters), name
