"""What one host did in one interval, by user and by command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from snapshot_assets.dashboard.queries.machine import MachineRows, MachineShare, machine_share
from snapshot_assets.dashboard.time.ranges import TimeRange
from snapshot_assets.domain.frames import COLUMNS, OTHER
from snapshot_assets.domain.measures import MEASURES, STEP_SECONDS, Measure, Resolution
from snapshot_assets.domain.time import BUCKET_SECONDS
from snapshot_assets.store.reading.reader import RedisReader

_UNITS: Mapping[Measure, str] = {"cpu": "cpu_norm", "mem": "rss"}
_MACHINE_UNITS: Mapping[Measure, tuple[str, str]] = {
    "cpu": ("cpu_norm", "cores"),
    "mem": ("used", "total"),
}
_COUNTERPARTS = {"username": "comm", "comm": "username"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one user or one command used in one interval.

    Attributes:
        name: of the user or the command.
        cores: mean.
        gb: mean.
        counterparts: a user's commands or a command's users, most cores first.
    """

    name: str
    cores: float
    gb: float
    counterparts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInterval:
    """One interval of one host.

    Attributes:
        host: name of the host.
        start: epoch second.
        step: length, seconds.
        cores: mean.
        gb: mean.
        machine: by measure, what the kernel counted.
        coverage: covered share, 0 to 1.
        settled: whether all of the interval is settled.
        users: most cores first.
        commands: most cores first.
    """

    host: str
    start: int
    step: int
    cores: float
    gb: float
    machine: Mapping[Measure, MachineShare]
    coverage: float
    settled: bool
    users: list[Share]
    commands: list[Share]


def host_interval(
    reader: RedisReader, host: str, start: int, resolution: Resolution
) -> HostInterval | None:
    """What happened on a host in the interval that holds ``start``; None without cover.

    Raises:
        StoreError: the reader's.
    """
    step = STEP_SECONDS[resolution]
    start = start // step * step
    frames, machines = reader.frames_and_machine(
        host,
        *TimeRange(start, start + step).bounds,
        by=("username", "comm"),
        resolution=resolution,
    )
    totals: dict[Measure, float] = {}
    entries: list[_Entry] = []
    for measure, frame in frames.items():
        if frame.empty:
            return None
        means = frame[COLUMNS[measure][0]].tolist()
        totals[measure] = sum(means)
        entries += [
            _Entry(measure=measure, username=username, comm=comm, mean=mean)
            for username, comm, mean in zip(
                frame["username"].tolist(), frame["comm"].tolist(), means, strict=True
            )
            if username != OTHER and mean > 0
        ]
    shares = _shares(entries)
    return HostInterval(
        host=host,
        start=start,
        step=step,
        cores=totals["cpu"],
        gb=totals["mem"],
        machine={m: MachineRows.of(frame, m).first() for m, frame in machines.items()},
        coverage=float(frames["cpu"]["coverage"].iloc[0]),
        settled=bool(frames["cpu"]["settled"].iloc[0]),
        users=shares["username"],
        commands=shares["comm"],
    )


def bucket_interval(host: str, start: int, document: Mapping[str, Any]) -> HostInterval:
    """What a document says of its bucket."""
    shares = _shares(
        _Entry(
            measure=measure,
            username=entry["username"],
            comm=entry["comm"],
            mean=entry[_UNITS[measure]],
        )
        for measure in MEASURES
        for entry in document[measure]["user"]
    )
    meta = document["meta"]
    return HostInterval(
        host=host,
        start=start,
        step=BUCKET_SECONDS,
        cores=document["cpu"]["command"]["cpu_norm"],
        gb=document["mem"]["command"]["rss"],
        machine={measure: _document_machine(document[measure], measure) for measure in MEASURES},
        coverage=meta["coverage"],
        settled=meta["stage"] == "settled",
        users=shares["username"],
        commands=shares["comm"],
    )


def _document_machine(part: Mapping[str, Any], measure: Measure) -> MachineShare:
    used_field, capacity_field = _MACHINE_UNITS[measure]
    machine = part.get("machine", {})
    return machine_share(
        machine.get(used_field), machine.get(capacity_field), part["command"][_UNITS[measure]]
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """The mean of one owner, cores or GB."""

    measure: Measure
    username: str
    comm: str
    mean: float


def _shares(entries: Iterable[_Entry]) -> dict[str, list[Share]]:
    """The shares of all users and of all commands, by ``username`` and ``comm``."""
    used: dict[str, dict[str, dict[Measure, float]]] = {field: {} for field in _COUNTERPARTS}
    cores: dict[tuple[str, str], dict[str, float]] = {}
    for entry in entries:
        for field, counterpart in _COUNTERPARTS.items():
            name, other = getattr(entry, field), getattr(entry, counterpart)
            means = used[field].setdefault(name, dict.fromkeys(MEASURES, 0.0))
            means[entry.measure] += entry.mean
            others = cores.setdefault((field, name), {})
            others[other] = others.get(other, 0.0) + (entry.mean if entry.measure == "cpu" else 0)
    return {
        field: [
            Share(
                name=name,
                cores=means["cpu"],
                gb=means["mem"],
                counterparts=_largest_first(cores[field, name]),
            )
            for name, means in sorted(
                names.items(), key=lambda item: (-item[1]["cpu"], -item[1]["mem"], item[0])
            )
        ]
        for field, names in used.items()
    }


def _largest_first(amounts: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted(amounts, key=lambda name: (-amounts[name], name)))
