"""``snapshot-assets demo``: shows the whole product, on invented machines and on this one.

This module has only the flow of the demo; the parts are the product's own commands and classes.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import click
import psutil
from rich.progress import track

from snapshot_assets.cli.demo.data import MACHINES, demo_snapshot, snapshot_times
from snapshot_assets.cli.demo.private_redis import start_private_redis
from snapshot_assets.cli.instance import dagster_instance
from snapshot_assets.cli.leash import LeashedProcess, free_port, wait_until
from snapshot_assets.cli.settle import settle_runs
from snapshot_assets.cli.shared import console, open_reader, open_source, open_writer, table
from snapshot_assets.cli.ui import ui_command
from snapshot_assets.domain.rules import LiveRules
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window
from snapshot_assets.errors import SnapshotAssetsError, StoreError
from snapshot_assets.orchestration.partitions import add_hosts
from snapshot_assets.orchestration.settling import Stretch, planned
from snapshot_assets.settings import PREFIX, Settings
from snapshot_assets.source.collecting.loop import ticks
from snapshot_assets.source.collecting.sampling import Sampler, sampler
from snapshot_assets.source.collecting.tables import SnapshotTables
from snapshot_assets.store.reading.reader import RedisReader

_DAYS = 7
_FOLDER_PREFIX = "snapshot-assets-demo-"
_READY_SECONDS = 120.0
_SAMPLE_SECONDS = 60


@click.command()
@click.option("--once", is_flag=True, help="End after the tables instead of running on.")
@click.option(
    "--port", default=3000, show_default=True, help="Port of Dagster's UI; if taken, a free one."
)
@click.option(
    "--dashboard-port",
    metavar="PORT",
    default=8050,
    show_default=True,
    help="Port of the dashboard; if taken, a free one.",
)
def demo(once: bool, port: int, dashboard_port: int) -> None:
    """Show everything at once, on invented machines.

    Invents a week of six machines and also samples this one. Starts a private Redis (or uses
    SNAPSHOT_REDIS_URL, under the key prefix 'demo:'), makes a source, settles the week through
    Dagster, prints the busiest hosts and users, serves the dashboard, and samples this machine
    until Ctrl-C. Keeps everything in a temporary folder and removes the folder at the end.
    """
    # SIGINT as well: a shell starts background jobs with SIGINT ignored, and Dagster would then
    # ignore SIGTERM, too.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    try:
        with ExitStack() as stack:
            _run(stack, once, port, dashboard_port)
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running.")


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(stack: ExitStack, once: bool, port: int, dashboard_port: int) -> None:
    configured = Settings.load()
    given = configured.redis_url.get_secret_value() if configured.is_set("redis_url") else None
    folder = stack.enter_context(_temporary_folder())
    if given is None:
        server, url = start_private_redis(folder)
        stack.callback(server.stop)
    else:
        url = given
    today = dt.datetime.now(dt.UTC).date()
    first = today - dt.timedelta(days=_DAYS)
    stack.enter_context(_environment(folder, url, first, prefix="" if given is None else "demo:"))
    settings = Settings.load()
    with open_writer(settings) as writer:
        writer.base.ping()
    console.print(f"Redis is at {writer.address}, everything else in {folder}")

    if given is not None:
        # Remove what a killed demo left behind; at the end, remove what this demo has written.
        _remove_documents(settings, first)
        stack.callback(_remove_documents, settings, first)

    source = stack.enter_context(open_source(settings))
    tables, sample = SnapshotTables(source), sampler()
    begun = Window.of_day(first).start
    now = int(time.time())
    for machine in track(MACHINES, "inventing ", console=console, transient=True):
        times = snapshot_times(machine, begun, now)
        tables.write(demo_snapshot(machine, epoch) for epoch in times)
    this_machine = _own_name()
    tables.write([sample(this_machine, now)])

    with dagster_instance() as instance:
        names = [machine.name for machine in MACHINES]
        week = Stretch(first, today - dt.timedelta(days=1), tuple(names))
        outcome = settle_runs(instance, settings, planned(instance, [week]))
        add_hosts(instance, [this_machine])
    if outcome.failures or outcome.failed_checks:
        raise SnapshotAssetsError("\n".join((*outcome.failures, *outcome.failed_checks)))
    console.print(
        f"Settled {len(outcome.metadata)} host-days, {outcome.passed} checks passed; "
        f"sampling {this_machine} for some seconds"
    )
    _wait_for_second_sample(tables, sample, this_machine, now)
    _refresh(settings, lookback_seconds=now % DAY_SECONDS)
    with open_reader(settings) as reader:
        _print_busiest(reader)
    if once:
        return
    _start_pages(stack, settings, folder, port, dashboard_port, this_machine)
    _keep_going(tables, sample, this_machine, now)


# --- where it runs ----------------------------------------------------------------------------


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A new folder for this demo. Also removes the folders of demos that were killed."""
    for old in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*-*"):
        owner = old.name.removeprefix(_FOLDER_PREFIX).split("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _environment(folder: Path, redis_url: str, first: dt.date, prefix: str) -> Iterator[None]:
    """The demo's settings for this process and its children, without the user's settings."""
    before, home = dict(os.environ), Path.cwd()
    for name in list(os.environ):
        if name.startswith(PREFIX):
            del os.environ[name]
    os.environ.update(
        {
            f"{PREFIX}SOURCE_URL": f"sqlite:///{folder / 'processes.db'}",
            f"{PREFIX}REDIS_URL": redis_url,
            f"{PREFIX}KEY_PREFIX": prefix,
            f"{PREFIX}LAKE": str(folder / "lake"),
            f"{PREFIX}START_DATE": first.isoformat(),
            # The default of five minutes is too long for a demo.
            f"{PREFIX}LIVE_CRON": "* * * * *",
            "DAGSTER_HOME": str(folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }
    )
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(home)
        os.environ.clear()
        os.environ.update(before)


def _remove_documents(settings: Settings, first: dt.date) -> None:
    """Remove everything that a demo has written to the user's Redis."""
    with open_writer(settings) as writer, suppress(StoreError):
        writer.remove_all(Window.around(Window.of_day(first).start, time.time() + BUCKET_SECONDS))


def _own_name() -> str:
    name = socket.gethostname() or "localhost"
    return name if name not in {machine.name for machine in MACHINES} else f"{name} (this machine)"


# --- what it does -----------------------------------------------------------------------------


def _wait_for_second_sample(tables: SnapshotTables, sample: Sampler, host: str, first: int) -> None:
    """Write a second snapshot, which covers the time since the first; the first covers nothing."""
    time.sleep(max(first + 5 - time.time(), 0))
    tables.write([sample(host, int(time.time()))])


def _refresh(settings: Settings, lookback_seconds: float) -> None:
    with open_source(settings) as source, open_writer(settings) as writer:
        writer.store_data(
            source,
            accounting=settings.accounting(),
            documents_rules=settings.documents(),
            rules=LiveRules(lookback_seconds),
        )


def _print_busiest(reader: RedisReader) -> None:
    """Print the busiest hosts and users of the last 24 hours, from the documents alone."""
    cores: dict[str, list[float]] = defaultdict(list)
    memory: dict[str, list[float]] = defaultdict(list)
    users: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    found = reader.get_data()
    for documents in found.values():
        for host, document in documents.items():
            cores[host].append(document["cpu"]["command"]["cpu_norm"])
            memory[host].append(document["mem"]["command"]["rss"])
            seconds = document["meta"]["coverage"] * BUCKET_SECONDS
            for entry in document["cpu"]["user"]:
                users[entry["username"]][entry["comm"]] += entry["cpu_norm"] * seconds / 3600
    hosts: list[tuple[Any, ...]] = [
        (host, len(c), sum(c) / len(c), max(c), sum(memory[host]) / len(c))
        for host, c in cores.items()
    ]
    hosts.sort(key=lambda row: -row[2])
    columns = ("host", "buckets", "mean cores", "peak cores", "mean GB")
    console.print(table("Busiest hosts, last 24 hours", columns, hosts))
    people: list[tuple[Any, ...]] = [
        (user, sum(work.values()), ", ".join(sorted(work, key=lambda comm: -work[comm])[:3]))
        for user, work in users.items()
    ]
    people.sort(key=lambda row: -row[1])
    console.print(table("Busiest users", ("user", "core-hours", "with"), people[:8]))


def _start_pages(
    stack: ExitStack,
    settings: Settings,
    folder: Path,
    port: int,
    dashboard_port: int,
    this_machine: str,
) -> None:
    """Start the dashboard and Dagster's UI, and print their addresses."""
    dashboard_port, port = free_port(preferred=dashboard_port), free_port(preferred=port)
    dashboard, ui = f"http://127.0.0.1:{dashboard_port}/", f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "snapshot_assets.cli", "dashboard", "--port"]
    with console.status("starting the dashboard and Dagster's UI"):
        started = [
            (_start(stack, folder, name, line), address)
            for name, line, address in (
                ("dashboard", [*command, str(dashboard_port)], f"{dashboard}healthz"),
                ("dagster", ui_command("127.0.0.1", port), f"{ui}/server_info"),
            )
        ]
        for process, address in started:
            wait_until(partial(_answers, address), process, _READY_SECONDS)
    with open_reader(settings) as reader:
        redis_address, prefix = reader.address, reader.keys.prefix
    for what, where in (
        ("Dashboard", dashboard),
        ("Dagster UI", f"{ui}/asset-groups"),
        ("Redis", redis_address),
        (
            "Read it",
            f"SNAPSHOT_REDIS_URL=redis://{redis_address} SNAPSHOT_KEY_PREFIX={prefix} "
            f"snapshot-assets read '{this_machine}'",
        ),
    ):
        console.print(f"{what:<12}{where}", soft_wrap=True, markup=False)
    console.print("Sampling every minute. Ctrl-C ends it all.")


def _start(stack: ExitStack, folder: Path, name: str, command: list[str]) -> LeashedProcess:
    process = LeashedProcess(command, log=folder / f"{name}.log", folder=folder)
    stack.callback(process.stop)
    return process


def _answers(address: str) -> bool:
    try:
        # An http:// address that this process made.
        with urllib.request.urlopen(address, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _keep_going(tables: SnapshotTables, sample: Sampler, host: str, since: int) -> None:
    """Sample this machine and the invented ones. Dagster's daemon publishes the rows."""
    done = since
    for epoch in ticks(_SAMPLE_SECONDS, threading.Event().wait):
        tables.write([sample(host, epoch)])
        for machine in MACHINES:
            times = snapshot_times(machine, done, epoch)
            tables.write(demo_snapshot(machine, due) for due in times)
        done = epoch
