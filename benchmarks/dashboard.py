"""How long people wait for a page, from the click to painted charts, and how much it transfers.

A private Redis holds 30 days of 12 and then of 100 hosts (see :mod:`benchmarks.fleet`). waitress
serves the dashboard in a process of its own, and a headless Chromium opens it:

* *first*: with an empty cache, scripts included;
* *again*: with a warm cache, as on any later day;
* *range*: the click on this range, coming from another.

The server keeps recent answers. So its clock moves with each call, and it computes every answer
anew.

The straightforward overview of :mod:`benchmarks.naive_dashboard` is measured in the same run.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import waitress
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.fleet import KEPT, Fleet, name
from benchmarks.naive_dashboard import create_naive_app
from benchmarks.turns import machine, median, number, table
from snapshot_assets.cli.leash import LeashedProcess, free_port, wait_until
from snapshot_assets.dashboard.app import create_app
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.domain.time import DAY_SECONDS
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.servers import Redis, find_program

SECTIONS = {"": "overview", "users": "consumers"}
OTHER_RANGE = {"24h": "12 h", "30d": "14 d"}
OWN_RANGE = {"24h": "24 h", "30d": "30 d"}
HEADER = [
    *("page", "first ms", "first kB", "again ms", "again kB"),
    *("range ms", "range kB"),
]
NAIVE_HEADER = ["24 h", "first ms", "first kB", "again ms", "again kB"]
# From the click until the other range is painted, in the browser's own time.
_CLICK = """([group, label]) => new Promise((done) => {
  const before = document.body.dataset.paintedRange;
  const option = [...document.querySelectorAll(`#${group} label`)]
    .find((found) => found.textContent === label);
  const begun = performance.now();
  option.click();
  const look = () => (document.body.dataset.paintedRange === before
    ? requestAnimationFrame(look) : done(performance.now() - begun));
  look();
})"""
_NAIVE_PAINTED = "count => document.querySelectorAll('.scatterlayer .js-line').length >= count"


@dataclass
class Wire:
    """The bytes that a page has received, as the browser counts them."""

    sizes: dict[str, float] = field(default_factory=dict)

    def listen(self, page: Page) -> None:
        """Count the bytes of this page from now on."""
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.loadingFinished", self._finished)

    def _finished(self, event: dict[str, Any]) -> None:
        self.sizes[event["requestId"]] = float(event["encodedDataLength"])

    def taken_kb(self) -> float:
        """Kilobytes since the previous call."""
        taken = sum(self.sizes.values()) / 1e3
        self.sizes.clear()
        return taken


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, measure and print; with ``--serve``, be the server that is measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard")
    parser.add_argument("--hosts", type=int, nargs="+", default=[12, 100])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", choices=["ours", "naive"], help=argparse.SUPPRESS)
    for option in ("--port", "--redis", "--now"):
        parser.add_argument(option, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--capacity", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        _serve(options)
        return
    noon = int(time.time()) // DAY_SECONDS * DAY_SECONDS - DAY_SECONDS // 2
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="dashboard-") as folder,
        Redis(Path(folder) / "redis") as server,
        RedisWriter(port=server.port, retention=KEPT, clock=lambda: noon) as writer,
        sync_playwright() as playwright,
    ):
        fleet, naive = Fleet(writer, options.days, noon), []
        browser = playwright.chromium.launch(
            executable_path=find_program("chromium", "chromium-browser", "google-chrome"),
            args=["--no-sandbox"],
        )
        for hosts, range_ in _cases(options.hosts):
            fleet.grow(hosts)
            given = Path(folder), server.port, noon, hosts
            with _served("ours", *given) as ours, _served("naive", *given) as theirs:
                rows = [
                    _measured(browser, f"{ours}{path}", section, range_, options.rounds)
                    for path, section in SECTIONS.items()
                ]
                print(table(f"{hosts} hosts, {range_}", HEADER, rows))
                if range_ == "24h":
                    naive.append([f"{hosts} hosts, ours", *rows[0][1:5]])
                    naive.append(_measured_naive(browser, theirs, hosts, options.rounds))
        print(table("The overview beside the straightforward one", NAIVE_HEADER, naive))
        browser.close()


def _cases(counts: Sequence[int]) -> list[tuple[int, str]]:
    """Host counts and ranges: the first count with both ranges, the others with the shorter."""
    return [(counts[0], "24h"), (counts[0], "30d"), *((hosts, "24h") for hosts in counts[1:])]


def _serve(options: argparse.Namespace) -> None:
    reader = RedisReader(port=options.redis, retention=KEPT, clock=lambda: options.now)
    if options.serve == "ours":
        # The clock moves by a bucket with each call, so that no kept answer fits.
        given = DashboardOptions(capacity_file=options.capacity, poll_seconds=3_600)
        app = create_app(reader, _Moving(options.now), given)
    else:
        app = create_naive_app(reader)
    waitress.serve(app.server, host="127.0.0.1", port=options.port, threads=8, _quiet=True)


class _Moving:
    """A clock that moves by a bucket with each call and starts again after 40 buckets."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._calls = 0

    def __call__(self) -> float:
        self._calls += 1
        return self._now - 300.0 * (self._calls % 40)


@contextmanager
def _served(kind: str, folder: Path, redis: int, now: int, hosts: int) -> Iterator[str]:
    port = free_port()
    capacity = folder / "capacity.csv"
    with capacity.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("host", "cores", "memory_gb"))
        rows.writerows((name(i), 64, 512) for i in range(hosts))
    command = [sys.executable, "-m", "benchmarks.dashboard", "--serve", kind]
    given = {"port": port, "redis": redis, "now": now, "capacity": capacity}
    command += [text for key, value in given.items() for text in (f"--{key}", str(value))]
    address = f"http://127.0.0.1:{port}/"
    with LeashedProcess(command, log=folder / f"{kind}.log") as process:
        wait_until(lambda: _answers(address), process, 60)
        yield address


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _measured(browser: Browser, address: str, section: str, range_: str, rounds: int) -> list[str]:
    """A row of the table: medians of so many rounds."""
    columns: dict[str, list[float]] = {heading: [] for heading in HEADER[1:]}
    url = f"{address}?range={range_}"
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page, wire = context.new_page(), Wire()
        wire.listen(page)
        for heading in ("first", "again"):
            columns[f"{heading} ms"].append(_opened(page, url, section))
            page.wait_for_load_state("networkidle")
            columns[f"{heading} kB"].append(wire.taken_kb())
        for label in (OTHER_RANGE[range_], OWN_RANGE[range_]):
            took = float(page.evaluate(_CLICK, ["quick", label]))
            page.wait_for_load_state("networkidle")
            if label == OWN_RANGE[range_]:
                columns["range ms"].append(took)
                columns["range kB"].append(wire.taken_kb())
            wire.taken_kb()
        context.close()
    return [section, *(number(median(columns[heading])) for heading in HEADER[1:])]


def _opened(page: Page, url: str, section: str) -> float:
    """Milliseconds from the navigation to painted charts."""
    page.goto(url, wait_until="commit")
    mark = f"painted-{section}"
    page.wait_for_function("mark => performance.getEntriesByName(mark).length", arg=mark)
    return float(page.evaluate("m => performance.getEntriesByName(m)[0].startTime", mark))


def _measured_naive(browser: Browser, address: str, hosts: int, rounds: int) -> list[str]:
    columns: dict[str, list[float]] = {heading: [] for heading in NAIVE_HEADER[1:]}
    for _ in range(rounds):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page, wire = context.new_page(), Wire()
        wire.listen(page)
        for heading in ("first", "again"):
            page.goto(address, wait_until="commit")
            page.wait_for_function(_NAIVE_PAINTED, arg=2 * hosts, timeout=120_000)
            columns[f"{heading} ms"].append(float(page.evaluate("performance.now()")))
            page.wait_for_load_state("networkidle")
            columns[f"{heading} kB"].append(wire.taken_kb())
        context.close()
    medians = [number(median(columns[heading])) for heading in NAIVE_HEADER[1:]]
    return [f"{hosts} hosts, straightforward", *medians]


if __name__ == "__main__":
    main()
