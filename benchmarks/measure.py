"""What one measured run tells, how a run is started alone, and how its memory is taken.

Each run is a process of its own: its peak memory is then its own too, and no run finds the other's
caches. The job goes in and the run comes out as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Job:
    """Which day to settle, from where to where.

    Attributes:
        source_url: SQLAlchemy URL of the database.
        redis_url: where the documents go.
        hosts: the hosts in the table.
        start: epoch seconds, the day's first moment.
        end: epoch seconds, the next day's first moment.
        hosts_per_group: how many hosts are read and accounted at once.
        overlap: whether a thread reads the next group meanwhile.
    """

    source_url: str
    redis_url: str
    hosts: list[str]
    start: int
    end: int
    hosts_per_group: int = 8
    overlap: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """What a run took and made.

    Attributes:
        seconds: wall-clock seconds by stage; ``total`` is measured, not summed.
        cpu_seconds: CPU time of this process meanwhile, all threads, without the servers.
        rows_read: rows that came from the database.
        documents: documents written.
        document_bytes: their size in all.
        cpu_core_seconds: CPU found in the day.
        imported_bytes: resident memory after the imports.
        peak_bytes: the highest resident memory.
    """

    seconds: dict[str, float]
    cpu_seconds: float
    rows_read: int
    documents: int
    document_bytes: int
    cpu_core_seconds: float
    imported_bytes: int
    peak_bytes: int


def peak_bytes() -> int:
    """The highest resident memory of this process so far.

    On Linux from ``/proc``: ``ru_maxrss`` there also remembers the parent that we were forked from.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [text for text in status.read_text().splitlines() if text.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def run_alone(module: str, job: Job) -> Run:
    """Run a module that calls :func:`answer` in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(asdict(job)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Run(**json.loads(done.stdout))


def answer(settle: Callable[[Job], dict[str, Any]]) -> None:
    """Settle the job on standard input, and tell on standard output all of :class:`Run`."""
    job = Job(**json.load(sys.stdin))
    imported = peak_bytes()
    begun = time.process_time()
    told = settle(job)
    spent = time.process_time() - begun
    run = Run(**told, cpu_seconds=spent, imported_bytes=imported, peak_bytes=peak_bytes())
    json.dump(asdict(run), sys.stdout)
