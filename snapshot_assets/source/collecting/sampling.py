"""The way of reading that suits this machine: ``/proc`` on Linux, psutil elsewhere.

The files of ``/proc`` belong to :mod:`snapshot_assets.source.collecting.proc`.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import psutil

from snapshot_assets.source.collecting.proc import PROC, ProcReader, age, valid_text
from snapshot_assets.source.collecting.snapshot import Machine, Process, Snapshot

# Takes the host name and the time, epoch seconds, that all rows of the snapshot carry.
Sampler = Callable[[str, int], Snapshot]


def sampler(procfs: Path | None = None) -> Sampler:
    """The function that takes snapshots of this machine.

    Args:
        procfs: a tree like ``/proc`` to read on any system; None for this machine's.
    """
    if procfs is not None or platform.system() == "Linux":
        return ProcReader(procfs or PROC)
    return sample_by_psutil


def sample_by_psutil(host: str, epoch: int) -> Snapshot:
    """Read all processes and the kernel's own count through psutil.

    Processes that end meanwhile are left out. Those whose figures the operating system hides from
    this account are left out and counted.
    """
    processes, hidden = [], 0
    machine = _machine()
    attributes = ["pid", "username", "name", "cpu_times", "memory_info", "create_time"]
    for process in psutil.process_iter(attributes):
        found = process.info
        if found["cpu_times"] is None or found["memory_info"] is None:
            hidden += 1
            continue
        cpu = found["cpu_times"].user + found["cpu_times"].system
        processes.append(
            Process(
                found["pid"],
                valid_text(found["username"] or "(unknown)"),
                valid_text(found["name"] or ""),
                round(cpu, 2),
                found["memory_info"].rss,
                age(epoch, found["create_time"]),
            )
        )
    return Snapshot(host, epoch, processes, machine, hidden)


def _machine() -> Machine:
    times, memory = psutil.cpu_times(), psutil.virtual_memory()
    # macOS does not tell the time of interrupts apart.
    busy = ("user", "nice", "system", "irq", "softirq")
    return Machine(
        cores=psutil.cpu_count() or 1,
        cpu_seconds=round(sum(getattr(times, name, 0.0) for name in busy), 2),
        memory_bytes=memory.total,
        memory_used_bytes=max(memory.total - memory.available, 0),
        boot_epoch=int(psutil.boot_time()),
    )
