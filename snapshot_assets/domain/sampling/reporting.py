"""Whether a host reports: in time, late, with a clock that is ahead, or not at all."""

from __future__ import annotations

from typing import Final, Literal

from snapshot_assets.domain.rules import LiveRules

HostState = Literal["reporting", "late", "silent", "ahead"]

# Clocks that are this far ahead do no harm.
AHEAD_SECONDS: Final = 60.0
# The live path looks for the rows of a host the more seldom, the older its newest row is: within
# this share of its age. See snapshot_assets.pipeline.lagging.
LOOK_SHARE: Final = 1 / 8
# By default, the live path publishes no older rows.
_OLDEST_SECONDS: Final = LiveRules().limit_seconds


def state_of(
    now: float, newest_epoch: float, arrived_epoch: float | None, allowed_seconds: float
) -> HostState:
    """The state of a host.

    A host is late if rows keep coming and say that they are old: its clock is behind, its collector
    delivers in batches, or the source is a replica that lags. A silent host brings no rows.

    Args:
        now: epoch seconds.
        newest_epoch: time of its newest snapshot, epoch seconds.
        arrived_epoch: when that snapshot arrived, about, epoch seconds; None if nobody knows.
        allowed_seconds: how old the newest snapshot of a host in time may be.
    """
    age = now - newest_epoch
    if age < -AHEAD_SECONDS:
        return "ahead"
    if age <= allowed_seconds:
        return "reporting"
    waited = now if arrived_epoch is None else now - arrived_epoch
    return (
        "late" if waited <= allowed_seconds + min(age, _OLDEST_SECONDS) * LOOK_SHARE else "silent"
    )
