"""When a snapshot is taken, on clocks that jump and with passes that are slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import pytest

from snapshot_assets.source.collecting.loop import keep_sampling, ticks
from snapshot_assets.source.collecting.snapshot import Snapshot
from snapshot_assets_tests.source.collecting.invented import snapshot


class Clock:
    """A clock of a test's own: waiting moves it, and so does the test."""

    def __init__(self, time: float) -> None:
        self.time = time
        self.waits = 0
        self.wake_early = 0.0
        self.jumps: dict[int, float] = {}

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        """Wait almost as long as told. In the n-th wait the clock jumps, if the test says so."""
        self.waits += 1
        self.time += max(seconds - self.wake_early, 0.001) + self.jumps.get(self.waits, 0)
        return False

    def ticks(self, interval: float) -> Iterator[int]:
        return ticks(interval, self.wait, self.now)


def test_snapshots_are_at_multiples_of_the_interval_after_the_first() -> None:
    clock = Clock(1000.4)
    assert list(islice(clock.ticks(60), 4)) == [1000, 1020, 1080, 1140]


def test_a_slow_pass_is_skipped_forward_and_not_doubled() -> None:
    clock = Clock(1000)
    found = []
    for epoch in islice(clock.ticks(60), 4):
        found.append(epoch)
        clock.time += 130 if epoch == 1020 else 5
    assert found == [1000, 1020, 1200, 1260]


def test_a_wait_that_ends_a_little_early_does_not_double_a_snapshot() -> None:
    clock = Clock(1000)
    clock.wake_early = 0.4
    assert list(islice(clock.ticks(60), 4)) == [1000, 1020, 1080, 1140]


def test_two_multiples_within_one_second_are_one_snapshot() -> None:
    clock = Clock(1.4)
    assert list(islice(clock.ticks(1.5), 6)) == [1, 3, 4, 6, 7, 9]


def test_a_clock_that_is_set_forward_goes_on_from_there() -> None:
    clock = Clock(1000)
    clock.jumps = {2: 86_400}
    assert list(islice(clock.ticks(60), 4)) == [1000, 1020, 87_480, 87_540]


def test_a_clock_that_is_set_back_by_hours_does_not_stop_the_collector() -> None:
    clock = Clock(10_000)
    clock.jumps = {2: -7200}
    assert list(islice(clock.ticks(60), 4)) == [10_000, 10_020, 2880, 2940]


def test_waiting_can_be_ended() -> None:
    assert list(ticks(60, lambda _: True, lambda: 1000.0)) == [1000]


def collected(times: list[int], sample: Callable[[int], Snapshot] = snapshot) -> list[int]:
    found: list[Snapshot] = []
    keep_sampling(times, sample, found.append)
    return [snapshot.epoch for snapshot in found]


def test_the_snapshot_after_the_clock_was_set_back_is_lost_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert collected([1000, 1060, 520, 580, 640, 640, 700]) == [1000, 1060, 580, 640, 700]
    assert caplog.text.count("is lost: the clock was set back") == 2
    assert "the snapshot of 520 is lost: the clock was set back by 540 seconds" in caplog.text


def test_a_pass_that_cannot_read_is_lost_and_the_next_one_is_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def sample(epoch: int) -> Snapshot:
        if epoch == 1060:
            raise OSError(24, "Too many open files")
        return snapshot(epoch)

    assert collected([1000, 1060, 1120], sample) == [1000, 1120]
    assert "the snapshot of 1060 is lost: [Errno 24] Too many open files" in caplog.text
