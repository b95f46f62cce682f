"""The verdicts: do Redis and the ledger hold what the source's rows add up to?

Host-days are proven in batches: while one is recounted, the rows of the next are fetched. The rows,
the count and the comparison are the other modules' of this package. Which host-days are proven
when, and how that is recorded, is decided in :mod:`snapshot_assets.orchestration`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import BUCKET_SECONDS, Window
from snapshot_assets.errors import LakeError, OutageError, SourceError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, MACHINE_ROWS, AggregatesNote
from snapshot_assets.pipeline.changed import SettingsNow, changed
from snapshot_assets.pipeline.inspection import kept_documents, kept_window
from snapshot_assets.pipeline.proof.compare import (
    Difference,
    Documents,
    document_differences,
    ledger_differences,
    rejected_share,
    rows_of,
    use_by_host,
)
from snapshot_assets.pipeline.proof.fetch import SecondSource
from snapshot_assets.pipeline.proof.recount import Limits, Recounted, recount
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.reading.reader import RedisReader

Verdict = Literal["match", "mismatch", "inconclusive"]

# A batch of so many rows takes about a second and 300 MB; smaller ones cost more per row.
_BATCH_ROWS = 400_000
_DIFFERENCES_KEPT = 100
# The contract refuses a host-day with a larger share of rejected rows.
_REJECTED_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Proof:
    """Redis and the ledger compared with the source, for one host-day.

    Attributes:
        verdict: ``inconclusive`` if that cannot be said: rows arrived since the documents were
            made, or something cannot be read.
        why: for a mismatch how many numbers differ and the first of them, for an inconclusive
            verdict the reason.
        source_cpu_seconds: core-seconds that the rows add up to, in the buckets that Redis keeps.
        source_gb_seconds: GB-seconds of memory, alike.
        redis_cpu_seconds: core-seconds of the documents.
        redis_gb_seconds: GB-seconds of the documents.
        differences: the first of the numbers that differ, by bucket.
    """

    verdict: Verdict
    why: str = ""
    source_cpu_seconds: float = 0.0
    source_gb_seconds: float = 0.0
    redis_cpu_seconds: float = 0.0
    redis_gb_seconds: float = 0.0
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Proofs:
    """What a time was enough for.

    Attributes:
        found: the proof of each host-day that got its turn.
        unproven: the host-days that did not.
    """

    found: list[tuple[HostDay, Proof]]
    unproven: list[HostDay]


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some host-days of one day, and the notes of those that the lake has."""

    host_days: list[HostDay]
    notes: dict[str, AggregatesNote]

    @property
    def window(self) -> Window:
        return self.host_days[0].window


@dataclass(frozen=True, slots=True)
class _Rows:
    """What the source has of a batch; the error instead for hosts that cannot be read."""

    rows: pa.Table | None
    machines: pa.Table | None
    errors: Mapping[str, str]


def prove_host_days(
    source: ProcessSource,
    lake: Lake,
    reader: RedisReader,
    host_days: Sequence[HostDay],
    rules: AccountingRules,
    documents: DocumentRules,
    seconds: float,
) -> Proofs:
    """Prove host-days in this order, as many as the time allows, and at least one batch.

    Args:
        source: the tables; the proof reads them on connections of its own.
        lake: says how many rows the documents were made from, and has the ledgers.
        reader: the Redis with the documents.
        host_days: the candidates, the most urgent first.
        rules: of the accounting.
        documents: which entries a document lists.
        seconds: no batch begins later than this many seconds after the call.

    Raises:
        OutageError: the source or Redis does not answer.
        StoreError: Redis cannot be read.
    """
    deadline = time.monotonic() + seconds
    limits = limits_of(rules)
    judge = _Judge(source, lake, reader, rules, documents)
    batches, damaged = _batches(lake, host_days)
    proofs = Proofs(damaged, [])
    with (
        SecondSource(source.url, source.table) as second,
        ThreadPoolExecutor(max_workers=1) as ahead,
    ):
        coming = ahead.submit(_fetch, second, batches[0], limits) if batches else None
        for number, batch in enumerate(batches, 1):
            if coming is None:
                proofs.unproven.extend(batch.host_days)
                continue
            fetched = coming.result()
            coming = None
            if number < len(batches) and time.monotonic() <= deadline:
                coming = ahead.submit(_fetch, second, batches[number], limits)
            proofs.found.extend(judge.proofs(batch, fetched))
    return proofs


def limits_of(rules: AccountingRules) -> Limits:
    """The recount's limits, from the rules of the settings."""
    return Limits(
        max_gap=rules.max_gap_seconds,
        slack=rules.slack_seconds,
        pass_seconds=rules.pass_seconds,
        pass_span=rules.pass_span_seconds,
        theta=rules.min_cputimes,
        excluded=rules.excluded_users,
        drop_idle_memory=rules.drop_idle_memory,
        capacity_cores=rules.capacity_cores,
    )


def _batches(
    lake: Lake, host_days: Iterable[HostDay]
) -> tuple[list[_Batch], list[tuple[HostDay, Proof]]]:
    """The host-days in their order, those of a day that follow each other together.

    A host-day whose file in the lake is damaged has its proof already.
    """
    batches: list[_Batch] = []
    damaged: list[tuple[HostDay, Proof]] = []
    rows = 0
    for host_day in host_days:
        try:
            entry = lake.entry(AGGREGATES, *host_day)
        except LakeError as error:
            damaged.append((host_day, Proof("inconclusive", str(error))))
            continue
        if not batches or batches[-1].host_days[0].day != host_day.day or rows >= _BATCH_ROWS:
            batches.append(_Batch([], {}))
            rows = 0
        batches[-1].host_days.append(host_day)
        if entry is not None:
            batches[-1].notes[host_day.host] = entry.note
            rows += entry.note.raw_rows
    return batches, damaged


def _fetch(second: SecondSource, batch: _Batch, limits: Limits) -> _Rows:
    """The rows of the batch. If they cannot be read together, its hosts are read one by one.

    Raises:
        SourceOutageError: the database does not answer.
    """
    span = limits.read_range(batch.window.start, batch.window.end)
    hosts = [host_day.host for host_day in batch.host_days]
    try:
        return _Rows(second.rows(hosts, *span), second.machines(hosts, *span), {})
    except OutageError:
        raise
    except SourceError as error:
        if len(hosts) == 1:
            return _Rows(None, None, {hosts[0]: str(error)})
    parts = [_fetch(second, _Batch([one], {}), limits) for one in batch.host_days]
    tables = [part.rows for part in parts if part.rows is not None]
    machines = [part.machines for part in parts if part.machines is not None]
    return _Rows(
        pa.concat_tables(tables) if tables else None,
        pa.concat_tables(machines) if machines else None,
        {host: error for part in parts for host, error in part.errors.items()},
    )


class _Judge:
    """Gives the verdicts. The arguments are those of :func:`prove_host_days`."""

    def __init__(
        self,
        source: ProcessSource,
        lake: Lake,
        reader: RedisReader,
        rules: AccountingRules,
        documents: DocumentRules,
    ) -> None:
        self._source, self._lake, self._reader = source, lake, reader
        self._rules, self._documents = rules, documents

    def proofs(self, batch: _Batch, fetched: _Rows) -> Iterator[tuple[HostDay, Proof]]:
        """The proof of each host-day of the batch."""
        readable = []
        for host_day in batch.host_days:
            if host_day.host in fetched.errors:
                yield host_day, Proof("inconclusive", fetched.errors[host_day.host])
            else:
                readable.append(host_day)
        if fetched.rows is None:
            return
        window, kept = batch.window, kept_window(self._reader, batch.window)
        counted = recount(
            fetched.rows, fetched.machines, limits_of(self._rules), window.start, window.end
        )
        published = {
            host_day.host: kept_documents(self._reader, host_day.host, kept)
            for host_day in readable
        }
        thresholds = self._documents.cpu_threshold_cores, self._documents.mem_threshold_gb
        different: dict[str, list[Difference]] = {host_day.host: [] for host_day in readable}
        for difference in document_differences(published, counted, kept.start, *thresholds):
            different[difference.host].append(difference)
        sums = use_by_host(counted, kept.start)
        for host_day in readable:
            host, note = host_day.host, batch.notes.get(host_day.host)
            if note is not None:
                different[host] += ledger_differences(host, note.ledger.as_dict(), counted)
            verdict, why = (
                self._unsettled(host_day, note, counted)
                or self._refused(host, counted)
                or self._verdict(host_day, different[host], fetched.machines)
            )
            cpu, gb = sums.get(host, (0.0, 0.0))
            used = _use_of(published[host])
            first = tuple(different[host][:_DIFFERENCES_KEPT])
            yield host_day, Proof(verdict, why, cpu, gb, *used, first)

    def _unsettled(
        self, host_day: HostDay, note: AggregatesNote | None, counted: Recounted
    ) -> tuple[Verdict, str] | None:
        """The verdict if the documents were made from other rows than the source has now."""
        found, newest = rows_of(counted, host_day.host)
        if note is None or (found, newest) == (note.raw_rows, note.raw_newest_epoch):
            return None
        if found == note.raw_rows:
            return "inconclusive", "the source has another newest row than the documents' rows had"
        span = self._rules.read_range(host_day.window)
        tally = self._source.tally(*span, hosts=[host_day.host]).get(host_day.host)
        if (seen := tally.rows if tally else 0) == note.raw_rows:
            return "mismatch", f"the settling's query finds {seen:,} of {found:,} rows"
        return "inconclusive", (
            f"the source has {found:,} rows now, the documents were made from {note.raw_rows:,}"
        )

    def _refused(self, host: str, counted: Recounted) -> tuple[Verdict, str] | None:
        """The verdict if there should be nothing to prove, as too many rows are unusable."""
        share = rejected_share(host, counted)
        if share <= _REJECTED_SHARE:
            return None
        return "mismatch", f"{share:.1%} of the rows are unusable, and the day was not refused"

    def _verdict(
        self, host_day: HostDay, different: Sequence[Difference], machines: pa.Table | None
    ) -> tuple[Verdict, str]:
        if not different:
            return "match", ""
        if why := self._changed(host_day) or self._other_machines(host_day, machines):
            return "inconclusive", why
        more = f"; {len(different) - 1:,} more numbers differ" if len(different) > 1 else ""
        return "mismatch", f"{different[0]}{more}"

    def _changed(self, host_day: HostDay) -> str | None:
        """What was set otherwise when the host-day was made."""
        now = SettingsNow(self._source.table, self._rules, self._documents)
        day, host = host_day
        for other in changed(self._lake, self._reader, now, first=day, last=day, hosts=[host]):
            return f"made with other settings ({', '.join(other.differences)}): settle it again"
        return None

    def _other_machines(self, host_day: HostDay, machines: pa.Table | None) -> str | None:
        """That the machine's own count has other rows than when the host-day was made."""
        kept = self._lake.entry(MACHINE_ROWS, *host_day)
        found = [] if machines is None else machines.column("host").to_pylist()
        if found.count(host_day.host) == (0 if kept is None else kept.rows):
            return None
        return "the machine's own count has other rows than when the day was settled"


def _use_of(documents: Documents) -> tuple[float, float]:
    """Core-seconds and GB-seconds of documents."""
    cpu = gb = 0.0
    for document in documents.values():
        covered = document["meta"]["coverage"] * BUCKET_SECONDS
        cpu += document["cpu"]["command"]["cpu_norm"] * covered
        gb += document["mem"]["command"]["rss"] * covered
    return cpu, gb
