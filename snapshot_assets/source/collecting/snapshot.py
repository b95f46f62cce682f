"""What one pass of the collector found: values only. Reading and writing them belong elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Process(NamedTuple):
    """One process: its row of the source table, without host and time.

    Attributes:
        pid: its number.
        username: the account that runs it; the number of the account if that has no name.
        comm: its name as the kernel has it.
        cputimes: CPU-seconds of all its threads since it began.
        rss: resident memory, bytes.
        etimes: seconds since it began, rounded down; None if that is not known.
    """

    pid: int
    username: str
    comm: str
    cputimes: float
    rss: int
    etimes: int | None


class Machine(NamedTuple):
    """The kernel's own count: a row of the table of machines, without host and time.

    Attributes:
        cores: number of logical CPUs.
        cpu_seconds: seconds that all CPUs together were busy since the machine was booted.
        memory_bytes: memory of the machine.
        memory_used_bytes: the part of it that is not available to new processes.
        boot_epoch: when the machine was booted, epoch seconds.
    """

    cores: int
    cpu_seconds: float
    memory_bytes: int
    memory_used_bytes: int
    boot_epoch: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All processes of one host at one time, and the kernel's own count.

    Attributes:
        host: the host name in all rows.
        epoch: the time in all rows, epoch seconds.
        processes: the processes.
        machine: the kernel's own count; None if the operating system does not tell.
        hidden: number of processes that the operating system hides from the collector's account.
    """

    host: str
    epoch: int
    processes: Sequence[Process]
    machine: Machine | None = None
    hidden: int = 0
