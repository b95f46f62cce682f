"""The invented machines: their kernels count what their rows show, and a little more."""

from __future__ import annotations

from itertools import pairwise

import pytest

from snapshot_assets.cli.demo.data import MACHINES, Machine, demo_snapshot, snapshot_times
from snapshot_assets.domain.time import DAY_SECONDS
from snapshot_assets.source.collecting.snapshot import Snapshot

# A fortnight, at whose start every machine is booted, begins at this day.
FIRST = 1_471 * 14 * DAY_SECONDS


def shown(before: Snapshot, after: Snapshot) -> float:
    """The CPU of the processes that are in both snapshots."""
    known = {(p.pid, p.username, p.comm): p.cputimes for p in before.processes}
    both = [(p, known.get((p.pid, p.username, p.comm), p.cputimes)) for p in after.processes]
    return sum(max(process.cputimes - cputimes, 0) for process, cputimes in both)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_an_invented_kernel_counts_more_than_the_rows_and_not_much_more(machine: Machine) -> None:
    times = snapshot_times(machine, FIRST + 3 * DAY_SECONDS, FIRST + 5 * DAY_SECONDS)
    found = [s for s in (demo_snapshot(machine, time) for time in times) if s.processes]
    counted = rows = 0.0
    for before, after in pairwise(found):
        assert before.machine is not None
        assert after.machine is not None
        span = after.machine.cpu_seconds - before.machine.cpu_seconds
        assert span >= shown(before, after) - 0.1
        counted, rows = counted + span, rows + shown(before, after)
        assert after.machine.boot_epoch == before.machine.boot_epoch
        assert 0 < after.machine.memory_used_bytes <= after.machine.memory_bytes
    assert 0.5 < rows / counted < 1
