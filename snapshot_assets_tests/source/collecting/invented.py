"""Snapshots for tests of writing: small, and different at each time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from snapshot_assets.source.collecting.snapshot import Machine, Process, Snapshot

STAMP = 1_790_500_000


def process(pid: int, comm: str = "python", **values: Any) -> Process:
    """A process with plain values but those that are given."""
    given = Process(pid, "ana", comm, 12.34, 4096 * 250, 77)
    return given._replace(**values)


def snapshot(
    epoch: int = STAMP, host: str = "me", processes: Sequence[Process] | None = None
) -> Snapshot:
    """A snapshot of two processes unless others are given, with the kernel's own count."""
    some = [process(1), process(2, "R")] if processes is None else processes
    return Snapshot(host, epoch, some, Machine(4, epoch / 1000, 8 * 10**9, 3 * 10**9, STAMP - 999))
