"""When a snapshot is taken: now, then at each multiple of the interval, whatever the clock does.

Reading and writing belong to the other modules of this package.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator

from snapshot_assets.source.collecting.snapshot import Snapshot

log = logging.getLogger(__name__)


def ticks(
    interval_seconds: float,
    wait: Callable[[float], bool],
    now: Callable[[], float] = time.time,
) -> Iterator[int]:
    """Yield the epoch second when it is time to sample: now, then at each multiple of the interval.

    Waiting a fixed time *after* each sample would add the duration of the sample to each interval,
    and now and then a bucket would have no snapshot. Multiples that pass while the caller is busy
    are skipped. No second comes twice in a row, unless the clock is set back.

    Args:
        interval_seconds: time between two snapshots, at least a second.
        wait: waits for so many seconds; true ends the iteration, as ``threading.Event.wait`` does.
        now: the clock, epoch seconds.
    """
    last = int(now())
    yield last
    while True:
        due = (math.floor(now() / interval_seconds) + 1) * interval_seconds
        while int(due) == last:  # two multiples of 1.5 s can be in one second
            due += interval_seconds
        # A wait can end a little early. If it ends long before, the clock was set back, and waiting
        # for the old time could take years.
        while 0 < (left := due - now()) <= 2 * interval_seconds:
            if wait(left):
                return
        last = int(now())
        yield last


def keep_sampling(
    times: Iterable[int], sample: Callable[[int], Snapshot], put: Callable[[Snapshot], None]
) -> None:
    """Take a snapshot at each time and hand it over.

    A snapshot is lost, with a warning, if the clock was set back since the one before, or if the
    operating system cannot be read for a reason that may pass.

    Args:
        times: the times, epoch seconds, each yielded when it is due.
        sample: takes the snapshot with this time in its rows.
        put: gets each snapshot.

    Raises:
        SourceError: the processes cannot be listed.
    """
    newest: int | None = None
    for epoch in times:
        if newest is not None and epoch <= newest:
            log.warning(
                "the snapshot of %d is lost: the clock was set back by %d seconds or more; the "
                "next one is taken as usual",
                epoch,
                newest - epoch,
            )
            newest = epoch
            continue
        newest = epoch
        try:
            snapshot = sample(epoch)
        except OSError as error:
            log.warning("the snapshot of %d is lost: %s", epoch, error)
            continue
        put(snapshot)
