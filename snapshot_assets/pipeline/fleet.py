"""The hosts: what is known of each, and which of them are retired or have another name now.

A host that an operator retires or renames is no longer expected: checks and pages forget it. All
its figures stay where they are, under the name that they were recorded with. If it brings new rows,
it is expected again, and the checks say so.
"""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from snapshot_assets.domain.sampling import state_of
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.lake.register import Farewell, read_register, write_register
from snapshot_assets.source.looking import spans
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.reading.presence import Progress
from snapshot_assets.store.writing.writer import SnapshotWriter

_ADVICE = {
    "silent": "check that the machine and its collector run; if it is gone for good, say so: "
    "snapshot-assets hosts retire",
    "late": "its rows come, but old: set its clock (NTP), or look at its collector or at the "
    "replica that the source is",
    "ahead": "set its clock (NTP)",
}


@dataclass(frozen=True, slots=True)
class HostLine:
    """What is known of a host.

    Attributes:
        host: its name.
        first_epoch: time of its oldest row in the source, epoch seconds; None without a row.
        newest_epoch: time of its newest row in the source, epoch seconds; None without a row.
        settled_days: number of days that the lake has of it.
        newest_day: the last of these days; None without one.
        farewell: if an operator retired or renamed it.
        state: a word or two for people, such as ``reporting`` or ``renamed to web-2``.
    """

    host: str
    first_epoch: float | None
    newest_epoch: float | None
    settled_days: int
    newest_day: dt.date | None
    farewell: Farewell | None
    state: str


@dataclass(frozen=True, slots=True)
class AbsentHost:
    """A host that should report and does not, or not in time.

    Attributes:
        host: its name.
        state: ``silent``, ``late``, ``ahead``, or that it is retired and reports again.
        advice: what to do.
        newest_epoch: time of its newest row, epoch seconds.
        age_seconds: age of that row; negative for a clock that is ahead.
    """

    host: str
    state: str
    advice: str
    newest_epoch: float
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Attendance:
    """Which hosts report.

    Attributes:
        hosts: number of hosts that should report.
        retired: number of hosts that are retired or renamed.
        absent: the hosts that do not report in time, the newest first.
    """

    hosts: int
    retired: int
    absent: tuple[AbsentHost, ...]

    def count(self, state: str) -> int:
        """How many of the absent hosts are in this state."""
        return sum(one.state == state for one in self.absent)


def fleet(
    source: ProcessSource, lake: Lake, progress: Progress, now: float, allowed_seconds: float
) -> list[HostLine]:
    """All hosts that the source, the lake or Redis knows, sorted by name.

    Args:
        source: where the rows are; the database looks at the index of all rows.
        lake: where the settled days are.
        progress: what Redis says of the live path.
        now: epoch seconds.
        allowed_seconds: how old the newest row of a host in time may be.

    Raises:
        SourceError: the source cannot be read.
        LakeError: the lake cannot be read.
    """
    rows, days, register = spans(source), lake.days_by_host(AGGREGATES), read_register(lake)
    found = []
    for host in sorted(rows.keys() | days.keys() | progress.newest_epoch.keys() | register.keys()):
        first, newest = rows.get(host, (None, None))
        settled, farewell = days.get(host, []), register.get(host)
        state = "no rows"
        if newest is not None:
            arrived = progress.arrived_epoch.get(host)
            state = state_of(now, newest, arrived, allowed_seconds)
        if farewell is not None:
            state = _farewell_state(farewell, newest)
        found.append(
            HostLine(
                host,
                first,
                newest,
                len(settled),
                settled[-1] if settled else None,
                farewell,
                state,
            )
        )
    return found


def absent_hosts(
    progress: Progress, register: Mapping[str, Farewell], now: float, allowed_seconds: float
) -> Attendance:
    """The hosts that do not report in time, as far as the live path knows.

    Args:
        progress: what Redis says of the live path.
        register: of the lake.
        now: epoch seconds.
        allowed_seconds: how old the newest row of a host in time may be.
    """
    absent = []
    expected = 0
    for host, newest in sorted(progress.newest_epoch.items(), key=lambda item: -item[1]):
        farewell = register.get(host)
        if farewell is not None and not farewell.is_over(newest):
            continue
        expected += 1
        state: str = state_of(now, newest, progress.arrived_epoch.get(host), allowed_seconds)
        if farewell is not None:
            state = _farewell_state(farewell, newest)
            advice = f"run 'snapshot-assets hosts unretire {host}', or stop its collector"
        elif state == "reporting":
            continue
        else:
            advice = _ADVICE[state]
        absent.append(AbsentHost(host, state, advice, newest, now - newest))
    return Attendance(expected, len(register), tuple(absent))


def say_farewell(
    lake: Lake,
    writer: SnapshotWriter,
    hosts: Iterable[HostLine],
    host: str,
    now: float,
    renamed_to: str | None = None,
) -> None:
    """Record that a machine is retired, or has another name now.

    Args:
        lake: keeps the register.
        writer: the Redis whose checks and pages forget the host.
        hosts: all hosts, as :func:`fleet` returns them.
        host: the name that is no longer expected.
        now: epoch seconds.
        renamed_to: the name that the machine has now; None for a retired one.

    Raises:
        SnapshotAssetsError: nobody knows the host; or its new name is the old one, or is itself
            one that is no longer expected.
        LakeError: the register cannot be read or written.
        StoreError: Redis cannot be written.
    """
    known = {line.host: line for line in hosts}
    register = read_register(lake)
    _require_known(host, known)
    if renamed_to is not None:
        if renamed_to == host:
            raise SnapshotAssetsError(f"{host!r} is its name already; give the new name second")
        if renamed_to in register:
            raise SnapshotAssetsError(
                f"{renamed_to!r} is {_farewell_state(register[renamed_to], None)}, so no machine "
                f"can have this name; run 'snapshot-assets hosts unretire {renamed_to}' first"
            )
    newest = known[host].newest_epoch
    register[host] = Farewell(now, now if newest is None else newest, renamed_to)
    # The register first: a refresh in between would record the host again.
    write_register(lake, register)
    writer.forget_hosts([host])


def take_back(lake: Lake, host: str) -> None:
    """Expect a host again that was retired or renamed; the next refresh records it.

    Raises:
        SnapshotAssetsError: it is neither.
        LakeError: the register cannot be read or written.
    """
    register = read_register(lake)
    if host not in register:
        there = ", ".join(sorted(register)) or "no host is"
        raise SnapshotAssetsError(f"{host!r} is neither retired nor renamed; these are: {there}")
    del register[host]
    write_register(lake, register)


def retired(lake: Lake) -> dict[str, float]:
    """The hosts that are not expected, each with the epoch second of its newest row then.

    Raises:
        LakeError: the register cannot be read.
    """
    return {host: farewell.newest_epoch for host, farewell in read_register(lake).items()}


def gone(register: Mapping[str, Farewell], progress: Progress, before: float) -> list[str]:
    """The hosts that are not expected, have no row since ``before``, and do not report again.

    Args:
        register: of the lake.
        progress: what Redis says of the live path.
        before: epoch seconds.
    """
    return sorted(
        host
        for host, farewell in register.items()
        if farewell.newest_epoch < before and not farewell.is_over(progress.newest_epoch.get(host))
    )


def _farewell_state(farewell: Farewell, newest_epoch: float | None) -> str:
    state = "retired" if farewell.renamed_to is None else f"renamed to {farewell.renamed_to}"
    return f"{state}, reports again" if farewell.is_over(newest_epoch) else state


def _require_known(host: str, known: Mapping[str, HostLine]) -> None:
    if host not in known:
        similar = difflib.get_close_matches(host, known, 1)
        hint = f"; is {similar[0]!r} meant?" if similar else ""
        raise SnapshotAssetsError(
            f"host {host!r} is not known{hint}; 'snapshot-assets hosts' lists all hosts"
        )
