"""Checks of one host's newest hour: what its rows say about its collector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from snapshot_assets.cli.doctor.finding import Finding
from snapshot_assets.cli.shared import duration
from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.capacity import Capacity
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.sampling import cadences, sampled
from snapshot_assets.domain.sampling.oddities import (
    Kind,
    hidden_processes,
    memory_above_machine,
    odd_names,
)
from snapshot_assets.domain.time import BUCKET_SECONDS, Window
from snapshot_assets.pipeline.reading import Read
from snapshot_assets.source.kinds import misfits

_HOUR_SECONDS = 3_600
_SAMPLE_ROWS = 1
# With fewer of the kernel's CPU-seconds, somebody should look; with more, numbers are wrong.
_SEEN_LEAST, _SEEN_MOST = 0.5, 1.05
_SUBJECTS: dict[Kind, tuple[str, str]] = {
    "numbers": (
        "accounts",
        "ps prints a number for an unknown name or one that is too long: use ps -eo user:32, or "
        "let 'snapshot-assets collect' write the table",
    ),
    "cut names": (
        "accounts",
        "ps cuts names: use ps -eo user:32, or let 'snapshot-assets collect' write the table",
    ),
    "memory": (
        "memory",
        "shared memory is in the rss of each process that has it: let the collector write pss, and "
        "set SNAPSHOT_SOURCE_COLUMNS=rss=pss; or is SNAPSHOT_RSS_UNIT wrong?",
    ),
    "hidden": ("collector", "set SNAPSHOT_MIN_CPUTIMES={:,.10g} and settle again"),
    "theta": ("collector", "set SNAPSHOT_MIN_CPUTIMES={:,.10g}, or remove it, and settle again"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest hour of a host.

    Attributes:
        host: the host.
        newest: time of its newest row, epoch seconds.
        rows: its rows of the hour before.
        read: these rows and some before them, as they were read.
        rules: of the accounting.
    """

    host: str
    newest: float
    rows: pd.DataFrame
    read: Read
    rules: AccountingRules

    @property
    def machines(self) -> pd.DataFrame:
        """The kernel's count of the hour."""
        times = self.read.machines["snapshot_time_epoch"]
        return self.read.machines[times >= self.newest - _HOUR_SECONDS]


def sample_findings(sample: Sample, capacity: Capacity | None) -> Iterator[Finding]:
    """What is wrong with the rows of a host.

    Args:
        sample: the rows.
        capacity: the size of the machine from the file; None if it does not say.
    """
    yield from _cadence(sample)
    yield from _columns(sample)
    counted = sample.machines["memory_bytes"].dropna()
    memory = float(counted.iloc[-1]) if len(counted) else None
    if memory is None and capacity is not None and capacity.memory_gb is not None:
        memory = capacity.memory_gb * 1e9
    for oddity in (
        *odd_names(sample.rows),
        *memory_above_machine(sample.rows, memory, sample.rules),
        *hidden_processes(sample.rows, sample.rules),
    ):
        subject, fix = _SUBJECTS[oddity.kind]
        yield Finding(
            "warning", subject, f"{sample.host}: {oddity.text}", fix.format(oddity.proposal or 0)
        )
    window = Window.around(sample.newest - _HOUR_SECONDS, sample.newest)
    ledger = account(sample.rows, window, sample.rules, sample.machines).ledger
    yield from _rows(sample, ledger)
    yield from _stamps(sample, ledger)
    yield from _seen(sample, ledger)


def _cadence(sample: Sample) -> Iterator[Finding]:
    for cadence in cadences(sampled(sample.rows, sample.rules)):
        if cadence.longest_interval_seconds > sample.rules.max_gap_seconds:
            yield Finding(
                "warning",
                "cadence",
                f"{sample.host} was silent for {duration(cadence.longest_interval_seconds)}",
                "a gap has no documents; the collector should sleep until a fixed time, not for a "
                "fixed duration",
            )
        elif cadence.median_interval_seconds > BUCKET_SECONDS * 1.1:
            yield Finding(
                "warning",
                "cadence",
                f"{sample.host} is sampled every {cadence.median_interval_seconds:.0f} s",
                f"sample at least every {BUCKET_SECONDS} s; else short-lived processes are missed",
            )
        if cadence.has_two_collectors:
            yield Finding(
                "warning",
                "collector",
                f"{sample.host} seems to have two collectors: {cadence.duplicate_rows} rows are "
                f"duplicates, {cadence.crowded_snapshots} of {cadence.snapshots} snapshots are "
                "close together",
                "stop one of them; the CPU is counted once, but the rows are stored twice",
            )


def _columns(sample: Sample) -> Iterator[Finding]:
    """Columns of another kind, and values that are no number or no text."""
    read = sample.read
    counted = sample.machines["cores"].dropna()
    cores = {**sample.rules.capacity_cores}
    if len(counted):
        cores[sample.host] = float(counted.max())
    for misfit in misfits(read.rows, read.table, read.unreadable, cores):
        problem, _, fix = str(misfit).rpartition(": ")
        yield Finding("error", "column", problem, fix)
    for unreadable in read.unreadable:
        yield Finding(
            "warning", "column", str(unreadable), "repair the collector; they are read as NULL"
        )


def _rows(sample: Sample, ledger: Ledger) -> Iterator[Finding]:
    rows = max(sum(ledger.window_rows.values()), 1)
    rejected, implausible = (ledger.window_rows[label] for label in ("rejected", "implausible"))
    if rejected:
        refused = rejected > 0.01 * rows
        outcome = "the host-day is refused" if refused else "they count nothing"
        yield Finding(
            "error" if refused else "warning",
            "rows",
            f"{sample.host}: {rejected:,} of {rows:,} rows cannot be used, so {outcome}, such as "
            f"{'; '.join(ledger.samples.get('rejected', ['?'])[:_SAMPLE_ROWS])}",
            "repair the collector",
        )
    if implausible:
        yield Finding(
            "warning",
            "rows",
            f"{sample.host}: {implausible:,} rows claim more CPU than the machine has, such as "
            f"{'; '.join(ledger.samples.get('implausible', ['?'])[:_SAMPLE_ROWS])}",
            "see whether the counter jumps, or counts the time of children; none of it is "
            "published",
        )
    if ledger.odd_ages:
        yield Finding(
            "warning",
            "rows",
            f"{sample.host}: {ledger.odd_ages:,} rows have an age that cannot be (etimes)",
            "they are accounted without age; newer versions of ps do not print such ages",
        )


def _stamps(sample: Sample, ledger: Ledger) -> Iterator[Finding]:
    if ledger.clock_offsets:
        yield Finding(
            "warning",
            "clock",
            f"{sample.host}: the stamps of {ledger.clock_offsets} snapshots disagree with the ages "
            "of the processes",
            "set its clock smoothly (NTP), and stamp a snapshot when it is taken",
        )
    if ledger.shared_pids:
        yield Finding(
            "warning",
            "pids",
            f"{sample.host}: {ledger.shared_pids:,} times several processes of a snapshot have one "
            "pid (containers, or rows that were summed up)",
            "the accounting tells them apart by account and command. Let the collector write the "
            "pids of the machine, or a host name for each container",
        )
    if ledger.stamped_snapshots:
        yield Finding(
            "warning",
            "stamps",
            f"{sample.host}: the rows of {ledger.stamped_snapshots} snapshots were stamped one "
            "after the other",
            "they are taken as one snapshot each; let the collector give all rows one time",
        )


def _seen(sample: Sample, ledger: Ledger) -> Iterator[Finding]:
    share = ledger.seen_share
    if share is None or _SEEN_LEAST <= share <= _SEEN_MOST:
        return
    few = share < _SEEN_LEAST
    yield Finding(
        "warning" if few else "error",
        "kernel",
        f"{sample.host}: snapshots saw {share:.0%} of the CPU-seconds that the kernel counted",
        "sample more often: the rest is of processes that no snapshot saw"
        if few
        else "numbers were invented: see whether the collector counts the time of children",
    )
