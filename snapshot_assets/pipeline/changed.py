"""Changed settings: which settled host-days were made with other settings than those of now.

The notes in the lake and the records in Redis say what made each host-day
(:mod:`snapshot_assets.domain.fingerprint`). Here they are compared with the settings, and nothing
is made again: :mod:`snapshot_assets.orchestration` does that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from snapshot_assets.domain.fingerprint import (
    accounting_recipe,
    differences,
    document_recipe,
    parts_of_record,
    reading_recipe,
    recipe_digest,
    recipe_half,
)
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS, AggregatesNote
from snapshot_assets.source.table import SourceTable
from snapshot_assets.store.reading.reader import RedisReader


class FirstStep(IntEnum):
    """The step of settling that has to be done again, and with it all that follow."""

    ROWS = 0
    AGGREGATES = 1
    DOCUMENTS = 2


@dataclass(frozen=True, slots=True)
class SettingsNow:
    """The settings that the figures of a host-day depend on.

    Attributes:
        table: how the source's rows are read.
        accounting: how rows become aggregates.
        documents: how aggregates become documents and frames.
    """

    table: SourceTable
    accounting: AccountingRules
    documents: DocumentRules

    def recipe(self, host: str) -> dict[str, str]:
        """The settings that a host's aggregates depend on."""
        return accounting_recipe(self.accounting, host) | self.reading_recipe()

    def reading_recipe(self) -> dict[str, str]:
        """The settings that the meaning of the source's rows depends on."""
        return reading_recipe(self.table.rss_unit, self.table.renamed)


@dataclass(frozen=True, slots=True)
class Changed:
    """A settled host-day that the settings of now would make in another way.

    Attributes:
        host_day: the host-day.
        differences: what differs, such as ``max_gap 900 -> 600``.
        first_step: where settling it again begins.
    """

    host_day: HostDay
    differences: tuple[str, ...]
    first_step: FirstStep


@dataclass(frozen=True, slots=True)
class ChangedDay:
    """The host-days of one day that differ in the same way.

    Attributes:
        day: UTC day.
        differences: what differs.
        hosts: the hosts, by name.
    """

    day: dt.date
    differences: tuple[str, ...]
    hosts: tuple[str, ...]


def changed(
    lake: Lake,
    reader: RedisReader,
    now: SettingsNow,
    *,
    first: dt.date | None = None,
    last: dt.date | None = None,
    hosts: Collection[str] | None = None,
    on_damage: Callable[[LakeError], None] | None = None,
) -> Iterator[Changed]:
    """Find the settled host-days that were made with other settings, by day and host.

    The lake's note of a host-day decides, and then Redis' record, as long as Redis keeps something
    of the day. A file whose record already has the settings of now is not opened, so the cost
    follows the number of host-days that differ.

    Args:
        lake: where the settled days are.
        reader: the Redis that they are published to.
        now: the settings.
        first: the first day to compare; None for the first in the lake.
        last: the last day to compare, included; None for the last in the lake.
        hosts: only these hosts; None for all.
        on_damage: called with the error of each file that cannot be read; the census shows them.

    Raises:
        LakeError: the lake cannot be listed.
        StoreError: Redis cannot be read.
    """
    days = [day for day in lake.days(AGGREGATES) if (first or day) <= day <= (last or day)]
    horizon = reader.clock()
    records = reader.records([Window.of_day(day).start for day in days])
    comparison = _Comparison(lake, now)
    for day in days:
        window = Window.of_day(day)
        kept = reader.keys.retains(window.end, horizon)
        of_day = records[window.start]
        current = {host for host in of_day if kept and comparison.agrees(host, of_day[host])}
        entries = lake.entries(AGGREGATES, day, on_damage or _ignore, without=current)
        for entry in sorted(entries, key=lambda entry: entry.host):
            if hosts is None or entry.host in hosts:
                record = of_day.get(entry.host) if kept else None
                found = comparison.compared(HostDay(day, entry.host), entry.note, record, kept)
                if found is not None:
                    yield found


def by_day(found: Iterable[Changed]) -> list[ChangedDay]:
    """The host-days with the same day and differences together, by day."""
    hosts: dict[tuple[dt.date, tuple[str, ...]], list[str]] = {}
    for one in found:
        hosts.setdefault((one.host_day.day, one.differences), []).append(one.host_day.host)
    return [
        ChangedDay(day, differences, tuple(sorted(names)))
        for (day, differences), names in sorted(hosts.items())
    ]


@dataclass(slots=True)
class _Comparison:
    """Compares host-days with the settings of now."""

    lake: Lake
    now: SettingsNow
    _digests: dict[float | None, str] = field(default_factory=dict)

    def agrees(self, host: str, record: str) -> bool:
        """Whether a record in Redis says that its host-day was made with the settings of now."""
        fingerprint, documents = parts_of_record(record)
        cores = self.now.accounting.capacity_cores.get(host)
        # Of a host, the recipe depends on the capacity alone, so few recipes are made.
        if cores not in self._digests:
            self._digests[cores] = recipe_digest(self.now.recipe(host))
        return recipe_half(fingerprint) == self._digests[cores] and documents == document_recipe(
            self.now.documents
        )

    def compared(
        self, host_day: HostDay, note: AggregatesNote, record: str | None, kept: bool
    ) -> Changed | None:
        """How a host-day differs; None if it does not.

        Args:
            host_day: the host-day.
            note: the note in the lake.
            record: the record in Redis; None if there is none.
            kept: whether Redis keeps something of the day.
        """
        recipe = self.now.recipe(host_day.host)
        if found := differences(note.recipe, recipe):
            return Changed(host_day, found, self._first_step(host_day))
        if not kept:
            return None
        if record is None:
            found = ("Redis has no record of it",)
        else:
            fingerprint, documents = parts_of_record(record)
            if fingerprint != note.fingerprint:
                found = ("Redis holds another version than the lake",)
            else:
                found = differences(documents, document_recipe(self.now.documents))
        return Changed(host_day, found, FirstStep.DOCUMENTS) if found else None

    def _first_step(self, host_day: HostDay) -> FirstStep:
        """The aggregates, if the lake keeps all rows that they need, read with these settings."""
        reading = self.now.reading_recipe()
        read_range = self.now.accounting.read_range(host_day.window)
        try:
            rows = self.lake.entry(RAW_ROWS, *host_day)
        except LakeError:
            rows = None  # a damaged file is replaced
        if rows is None or rows.note.recipe != reading or not rows.note.reaches(*read_range):
            return FirstStep.ROWS
        return FirstStep.AGGREGATES


def _ignore(_: LakeError) -> None:
    pass
