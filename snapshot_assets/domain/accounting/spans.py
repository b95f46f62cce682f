"""The fourth chapter: the CPU span that a row ends, its class, and whether its memory counts.

This is rule 6 of docs/accounting.md, one letter after the other. The next chapter splits the spans
into buckets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snapshot_assets.domain.accounting.codes import Bools, Floats
from snapshot_assets.domain.accounting.identity import Identity
from snapshot_assets.domain.accounting.rows import Process
from snapshot_assets.domain.accounting.snapshots import Offsets, Snapshots
from snapshot_assets.domain.ledger import RowClass
from snapshot_assets.domain.rules import AccountingRules

# A process may be born and measured within the same second. Its span has at least this length.
_SHORTEST_SPAN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Spans:
    """For each row its class and, if the row ends one, the CPU span ``(start, end]``.

    Attributes:
        row_class: a :class:`~snapshot_assets.domain.ledger.RowClass`.
        start: epoch seconds; the end is the time of the row's snapshot.
        end: epoch seconds.
        cpu_seconds: CPU-seconds used in the span; 0 for a row that ends no span.
        attributed: whether buckets get the span's CPU, those of excluded accounts included.
        excluded: whether the account is excluded.
        counts_for_memory: whether the row's memory is counted.
    """

    row_class: npt.NDArray[np.int8]
    start: Floats
    end: Floats
    cpu_seconds: Floats
    attributed: Bools
    excluded: Bools
    counts_for_memory: Bools


def cpu_spans(
    process: Process,
    snapshots: Snapshots,
    offsets: Offsets,
    identity: Identity,
    cores: Floats,
    rules: AccountingRules,
) -> Spans:
    """Decide for each row what CPU it adds.

    Args:
        process: the kept rows.
        snapshots: their snapshots.
        offsets: how far the stamps of the snapshots are off.
        identity: the rows before, and whether they are the same process.
        cores: for each snapshot the number of cores of its host.
        rules: gaps, slack, exclusions, hidden processes.
    """
    index, before = snapshots.snapshot_index, identity.before
    time, cputimes, etimes = process.time, process.cputimes, process.etimes
    end, previous = snapshots.time[index], snapshots.previous[index]
    covered = snapshots.covered[index]
    slack, row_cores = rules.slack_seconds, cores[index]

    # Comparisons with a missing age, or without a snapshot before, are False.
    elapsed = time - previous + offsets.seconds[index]
    born = (elapsed > 0) & (etimes <= elapsed + slack)
    hidden = rules.min_cputimes
    emerged_cpu = cputimes - hidden
    emerged = (
        (hidden > 0)
        & covered
        & ~identity.near
        & (emerged_cpu >= 0)
        & (emerged_cpu <= (end - previous + slack) * row_cores)
    )

    # The letters of rule 6: a row takes the first that holds.
    continued = identity.same & identity.near
    newborn = ~continued & born & covered
    emerges = ~continued & ~newborn & emerged
    resumed = ~continued & ~newborn & ~emerges & identity.same
    born_in_gap = ~continued & ~resumed & born & ~covered
    same, alive = continued | resumed, newborn | born_in_gap

    birth = np.maximum(np.minimum(time - etimes, end - _SHORTEST_SPAN_SECONDS), previous)
    last_seen = snapshots.time[index[before]]
    start = np.where(same, last_seen, np.where(alive, birth, previous))
    used = np.maximum(cputimes - cputimes[before], 0.0)
    cpu_seconds = np.where(same, used, np.where(alive, cputimes, emerged_cpu))
    ends_span = same | alive | emerges
    cpu_seconds[~ends_span] = 0.0

    implausible = ends_span & (cpu_seconds > (end - start + slack) * row_cores)
    attributed = newborn | emerges | (continued & (end - start <= rules.max_gap_seconds))
    attributed &= ~implausible
    is_excluded = np.array([rules.excludes(user) for user in process.usernames], dtype=bool)
    excluded = is_excluded[process.username] if len(is_excluded) else np.zeros(len(time), bool)

    row_class = np.full(len(time), RowClass.FIRST_SEEN, dtype=np.int8)
    row_class[ends_span] = RowClass.GAP
    row_class[attributed] = RowClass.ATTRIBUTED
    row_class[implausible] = RowClass.IMPLAUSIBLE
    row_class[excluded] = RowClass.EXCLUDED

    counts_for_memory = ~excluded
    if rules.drop_idle_memory:
        # Rows across gaps are kept: whether such a row ends a span can depend on rows that are not
        # read.
        counts_for_memory &= ~(attributed & (cpu_seconds == 0))
    return Spans(row_class, start, end, cpu_seconds, attributed, excluded, counts_for_memory)
