"""Hosts whose rows come so late that the window of the live refresh does not see them.

Their clock is behind, their collector delivers in batches, or the source is a replica that lags.
The refresh reads the newest rows of all hosts; this module finds out which of the other hosts have
rows that are new. It counts rows, and reads none.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping

from snapshot_assets.domain.sampling.reporting import LOOK_SHARE
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.source.query import ProcessSource


def lagging(
    source: ProcessSource,
    newest_epoch: Mapping[str, float],
    *,
    oldest: float,
    before: float,
    now: float,
    last_look: float,
) -> dict[str, float]:
    """The hosts that have new rows before the window, and from when on these are published.

    Where the source has an index on (host, time), a look costs as much as there are new rows. Where
    it has one on the time alone, a look counts the rows of all hosts since the host's newest one.
    So the longer a host is silent, the more seldom is the look: all looks together cost a fixed
    multiple of the rows that are new.

    Args:
        source: where the rows are.
        newest_epoch: of each host that was read before, the time of its newest row, epoch seconds.
        oldest: rows before this epoch second are not published.
        before: start of the refresh's window, epoch seconds.
        now: epoch seconds.
        last_look: when the refresh before looked, epoch seconds.

    Returns:
        Host to epoch second.

    Raises:
        SourceError: the source cannot be read.
    """
    groups: dict[int, dict[str, float]] = defaultdict(dict)
    for host, newest in newest_epoch.items():
        silent_seconds = now - newest
        if newest < before and _is_due(silent_seconds, last_look, now):
            groups[int(math.log2(silent_seconds))][host] = max(newest, oldest)
    found: dict[str, float] = {}
    for since in groups.values():
        tally = source.tally(min(since.values()), before, sorted(since))
        found |= {
            host: epoch
            for host, epoch in since.items()
            if host in tally and tally[host].newest_epoch > max(newest_epoch[host], oldest)
        }
    return found


def _is_due(silent_seconds: float, last_look: float, now: float) -> bool:
    """Whether a multiple of the host's period has passed since the last look.

    The period is a power of two, so that it does not change from look to look.
    """
    longest = max(silent_seconds * LOOK_SHARE, BUCKET_SECONDS)
    period = 2 ** int(math.log2(longest))
    return int(now // period) != int(last_look // period)
