"""``snapshot-assets collect``: writes this machine's processes to the source."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

import click

from snapshot_assets.cli.shared import console, open_source
from snapshot_assets.settings import Settings
from snapshot_assets.source.collecting.loop import keep_sampling, ticks
from snapshot_assets.source.collecting.outbox import Outbox
from snapshot_assets.source.collecting.sampling import sampler
from snapshot_assets.source.collecting.snapshot import Snapshot
from snapshot_assets.source.collecting.tables import SnapshotTables

# Service managers wait at least ten seconds between SIGTERM and SIGKILL.
_PATIENCE_SECONDS = 8.0


@click.command()
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two snapshots. Their times are multiples of it.",
)
@click.option("--once", is_flag=True, help="Take one snapshot and end.")
@click.option("--host", default=None, help="Host name to write; by default this machine's name.")
@click.option(
    "--procfs",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Read this tree instead of /proc, such as the machine's own in a container.",
)
def collect(interval: float, once: bool, host: str | None, procfs: Path | None) -> None:
    """Sample this machine's processes into the source table.

    Creates the table, with the right indexes, if it does not exist. In the same pass it writes the
    kernel's own count to the table 'machines'. Runs until Ctrl-C or SIGTERM. While the database
    does not answer, the last hour stays in memory, and is written later.
    """
    settings = Settings.load()
    # A server that goes away right after a commit is reported there with a traceback. Nothing is
    # lost then, and the next snapshot says that the server is away.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    sample = partial(sampler(procfs), host or socket.gethostname())
    with open_source(settings) as source:
        tables = SnapshotTables(source)

        def write(snapshot: Snapshot) -> None:
            _report(snapshot, tables.write([snapshot]))

        if once:
            write(sample(int(time.time())))
            return
        with _stopped_by_signals() as stop:
            outbox = Outbox(write, on_defect=stop.set)
            keep_sampling(ticks(interval, stop.wait), sample, outbox.put)
            outbox.close(_PATIENCE_SECONDS)
        console.print("stopped")


def _report(snapshot: Snapshot, count: int) -> None:
    hidden = f" ({snapshot.hidden} hidden from this account)" if snapshot.hidden else ""
    console.print(f"{snapshot.epoch}: {count} processes of {snapshot.host}{hidden}", markup=False)


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """An event that is set by the first Ctrl-C, SIGTERM or hang-up; the second one ends at once."""
    stop = threading.Event()
    names = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup ignores it
        names.append(signal.SIGHUP)
    before = {name: signal.getsignal(name) for name in names}

    def handle(*_: int | FrameType | None) -> None:
        stop.set()
        for name in names:
            signal.signal(name, signal.SIG_DFL)

    for name in names:
        signal.signal(name, handle)
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
