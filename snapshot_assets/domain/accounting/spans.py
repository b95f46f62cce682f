"""The second chapter: which rows are the same process, the CPU span that a row ends, its class.

The next chapter splits the spans into buckets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snapshot_assets.domain.accounting.codes import Bools, Floats
from snapshot_assets.domain.accounting.rows import Process, Snapshots
from snapshot_assets.domain.ledger import RowClass
from snapshot_assets.domain.rules import AccountingRules

# A process may be born and measured within the same second. Its span has at least this length.
_SHORTEST_SPAN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Spans:
    """For each row its class and, if the row ends one, the CPU span ``(start, time]``.

    Attributes:
        row_class: a :class:`~snapshot_assets.domain.ledger.RowClass`.
        start: epoch seconds.
        cpu_seconds: CPU-seconds used in the span; 0 for a row that ends no span.
        excluded_attributed: whether the row is excluded and would be attributed otherwise.
        counts_for_memory: whether the row's memory is counted.
    """

    row_class: npt.NDArray[np.int8]
    start: Floats
    cpu_seconds: Floats
    excluded_attributed: Bools
    counts_for_memory: Bools


def cpu_spans(process: Process, snapshots: Snapshots, rules: AccountingRules) -> Spans:
    """Decide for each row whether it continues the row before, and what CPU it adds.

    Args:
        process: the kept rows, sorted by host, pid and time.
        snapshots: the snapshots of these rows.
        rules: gaps, slack, exclusions.
    """
    time, cputimes, etimes = process.time, process.cputimes, process.etimes
    host_previous = snapshots.previous[snapshots.snapshot_index]

    # Is this the same process as in the row before? Comparisons with a missing etimes are False, so
    # a missing etimes never contradicts that.
    earlier = np.full(len(time), np.nan)
    earlier_cputimes = np.zeros(len(time))
    earlier_etimes = np.full(len(time), np.nan)
    same_pid = np.zeros(len(time), dtype=bool)
    same_pid[1:] = (process.pid[1:] == process.pid[:-1]) & (process.host[1:] == process.host[:-1])
    earlier[1:], earlier_cputimes[1:], earlier_etimes[1:] = time[:-1], cputimes[:-1], etimes[:-1]
    apart = time - earlier
    continued = (
        same_pid
        & (cputimes >= earlier_cputimes)
        & ~(etimes < apart - rules.slack_seconds)
        & ~(np.abs(etimes - earlier_etimes - apart) > rules.slack_seconds)
    )
    # Not continued, but young enough to have been born since the host's snapshot before.
    since_previous = time - host_previous
    born = ~continued & (etimes <= since_previous + rules.slack_seconds)

    birth = np.minimum(time - etimes, time - _SHORTEST_SPAN_SECONDS)
    start = np.where(continued, earlier, np.maximum(birth, host_previous))
    cpu_seconds = np.where(continued, cputimes - earlier_cputimes, np.where(born, cputimes, 0.0))
    too_long = np.where(continued, apart, since_previous) > rules.max_gap_seconds

    attributed = (continued | born) & ~too_long
    row_class = np.full(len(time), RowClass.FIRST_SEEN, dtype=np.int8)
    row_class[continued | born] = RowClass.GAP
    row_class[attributed] = RowClass.ATTRIBUTED
    is_excluded = np.array([rules.excludes(user) for user in process.usernames], dtype=bool)
    excluded = is_excluded[process.username] if len(is_excluded) else np.zeros(len(time), bool)
    row_class[excluded] = RowClass.EXCLUDED

    counts_for_memory = ~excluded
    if rules.drop_idle_memory:
        # Rows across gaps are kept: whether such a row ends a span can depend on rows that are not
        # read.
        counts_for_memory &= ~(attributed & (cpu_seconds == 0))
    return Spans(row_class, start, cpu_seconds, excluded & attributed, counts_for_memory)
