"""One measured run: its job, its report, its process, and its memory.

Each run is a process of its own, so that its peak memory is its own and it finds no caches of other
runs. The job goes to standard input and the report to standard output, both as JSON.
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
        start: epoch seconds, the start of the day.
        end: epoch seconds, the start of the next day.
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
    """The report of a run.

    Attributes:
        seconds: wall-clock seconds by step; ``total`` is measured, not summed.
        cpu_seconds: CPU time of the run's process, all threads, without the servers.
        rows_read: number of rows read from the database.
        documents: number of documents written.
        document_bytes: total size of the documents.
        cpu_core_seconds: core-seconds found in the day.
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

    On Linux it is read from ``/proc``, as ``ru_maxrss`` there includes the memory of the parent.
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
    """Settle the job from standard input, and print the :class:`Run` to standard output."""
    job = Job(**json.load(sys.stdin))
    imported = peak_bytes()
    begun = time.process_time()
    report = settle(job)
    spent = time.process_time() - begun
    run = Run(**report, cpu_seconds=spent, imported_bytes=imported, peak_bytes=peak_bytes())
    json.dump(asdict(run), sys.stdout)
