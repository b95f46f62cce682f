"""Breaking any one rule of the contract in the domain makes the proof fail.

Each mutation replaces one expression of the accounting. The tables have every fault that tables in
the field have, so that each rule decides something in them. A mutation whose text is gone names
itself: write it again for the new text.
"""

from __future__ import annotations

import random
from functools import cache
from types import ModuleType

import pytest

from snapshot_assets.domain import accounting
from snapshot_assets.domain.accounting import (
    buckets,
    identity,
    machine,
    rows,
    snapshots,
    spans,
)
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets.pipeline.proof.recount import Recounted
from snapshot_assets_tests.pipeline.proof.published import Table
from snapshot_assets_tests.support.domain.faults import FAULTS
from snapshot_assets_tests.support.domain.process_rows import (
    GB,
    MIDNIGHT,
    KernelRow,
    Row,
    kernel_rows,
    raw_rows,
)
from snapshot_assets_tests.support.domain.recipes import Recipe
from snapshot_assets_tests.support.mutants import mutant

T = MIDNIGHT
COVERED = (0, 300, 600, 900, 1_200)
Mutation = tuple[ModuleType, str, str]

MUTATIONS: dict[str, Mutation] = {
    "1, a negative age is an age": (
        rows,
        "(etimes < 0) | (etimes > LONGEST_AGE_SECONDS)",
        "(etimes > LONGEST_AGE_SECONDS)",
    ),
    "1, an age of 136 years is an age": (rows, "= 20 * 365.25 * 86_400", "= 200 * 365.25 * 86_400"),
    "1, negative memory is used": (
        rows,
        '("cputimes", "rss", "snapshot_time_epoch")',
        '("cputimes", "snapshot_time_epoch")',
    ),
    "1, no command is another command than an empty one": (rows, 'missing=""', 'missing="?"'),
    "2, memory decides before CPU": (
        rows,
        "decisive = (age, rss[members], cputimes[members])",
        "decisive = (age, cputimes[members], rss[members])",
    ),
    "2, one row a pid and time": (
        rows,
        "for column in (key, username, comm)]",
        "for column in (key,)]",
    ),
    "3, rows stamped one by one are many snapshots": (
        snapshots,
        "> rules.pass_seconds)",
        "> 0)",
    ),
    "3, a pass has no longest span": (
        snapshots,
        "(stamp[last] - stamp[first] <= rules.pass_span_seconds)",
        "(stamp[last] - stamp[first] <= 9e9)",
    ),
    "3, two processes of a pid part a pass": (
        snapshots,
        "for column in (cluster, process.pid, process.entry):",
        "for column in (cluster, process.pid):",
    ),
    "3, a pid of 0 is of one process": (
        snapshots,
        "several[neighbours] | process.container",
        "several[neighbours]",
    ),
    "3, no pid is shared": (
        snapshots,
        "several[neighbours] | process.container",
        "process.container",
    ),
    "3, there are no gaps": (
        snapshots,
        "snapshot_time - previous <= rules.max_gap_seconds",
        "snapshot_time - previous <= 9e9",
    ),
    "4, clocks are right": (snapshots, "return Offsets(seconds,", "return Offsets(seconds * 0,"),
    "4, offsets do not add up": (
        snapshots,
        "np.cumsum(units) * _OFFSET_UNIT_SECONDS",
        "np.cumsum(units) * 0",
    ),
    "4, the median is one of the few": (
        snapshots,
        "np.where(2 * within > size, median, 0.0)",
        "median",
    ),
    "4, one or two ages that stand still say nothing": (
        snapshots,
        "(members > 0) & (members <= 2)",
        "(members < 0)",
    ),
    "4, a small offset is one": (
        snapshots,
        "seconds[np.abs(seconds) <= rules.slack_seconds] = 0.0",
        "seconds[np.abs(seconds) <= 1] = 0.0",
    ),
    "5, a shared pid is of one process": (
        identity,
        "return Before(np.where(by_name, name_before, pid_before), name_before)",
        "return Before(pid_before, name_before)",
    ),
    "5, what was shared before does not matter": (
        identity,
        "by_name = shared | (shared[pid_before] & (pid_before >= 0))",
        "by_name = shared",
    ),
    "5, a total that fell is another process": (
        identity,
        "_SLACK_OF_FALLEN_SECONDS = 2.0",
        "_SLACK_OF_FALLEN_SECONDS = -1.0",
    ),
    "5, an age may differ by an hour": (
        identity,
        "np.where(fallen, _SLACK_OF_FALLEN_SECONDS, rules.slack_seconds)",
        "np.where(fallen, _SLACK_OF_FALLEN_SECONDS, 3_600)",
    ),
    "5, an age alone says nothing": (
        identity,
        "(etimes >= apart - rules.slack_seconds)",
        "(etimes >= 0)",
    ),
    "5, everything is near": (
        identity,
        "snapshots.time[index] - rules.near_seconds",
        "snapshots.time[index] - 9e9",
    ),
    "6a, CPU of a longer silence is spread": (
        spans,
        "(continued & (end - start <= rules.max_gap_seconds))",
        "continued",
    ),
    "6b, nobody is born": (spans, "born = (elapsed > 0) &", "born = (elapsed > 9e9) &"),
    "6b, a birth has no slack": (spans, "(etimes <= elapsed + slack)", "(etimes <= elapsed)"),
    "6b, a span may be shorter than a second": (
        spans,
        "_SHORTEST_SPAN_SECONDS = 1.0",
        "_SHORTEST_SPAN_SECONDS = 0.001",
    ),
    "6c, nobody was hidden": (spans, "(hidden > 0)\n", "(hidden < 0)\n"),
    "6c, the threshold was not used": (
        spans,
        "emerged_cpu = cputimes - hidden",
        "emerged_cpu = cputimes",
    ),
    "6d, nobody comes back": (
        spans,
        "resumed = ~continued & ~newborn & ~emerges & identity.same",
        "resumed = continued & ~continued",
    ),
    "6e, nobody is born in a gap": (
        spans,
        "born_in_gap = ~continued & ~resumed & born & ~covered",
        "born_in_gap = continued & ~continued",
    ),
    "6, every CPU is plausible": (
        spans,
        "(cpu_seconds > (end - start + slack) * row_cores)",
        "(cpu_seconds > 9e99)",
    ),
    "6, CPU goes to the bucket where it ends": (
        buckets,
        "return Pieces(span_index, bucket, seconds, seconds / length)",
        "return Pieces(span_index, bucket, seconds, 1.0 * (end[span_index] <= bucket + 300))",
    ),
    "7, a bucket is always covered whole": (
        accounting,
        "np.concatenate([cpu_seconds, zeros])[order] / seconds,",
        "np.concatenate([cpu_seconds, zeros])[order] / 300,",
    ),
    "8, memory holds for whole buckets": (
        buckets,
        "[rss[repeat] * pieces.seconds[piece],",
        "[rss[repeat] * 300,",
    ),
    "8, idle memory is never dropped": (spans, "if rules.drop_idle_memory:", "if False:"),
    "8, idle memory after a gap is dropped": (
        spans,
        "~(attributed & (cpu_seconds == 0))",
        "~(cpu_seconds == 0)",
    ),
    "9, excluded accounts are published": (
        accounting,
        "published = ~_excluded_entries(process, spans)[use.entry]",
        "published = np.ones(len(use.entry), dtype=bool)",
    ),
    "10, duplicates are in no class": (
        accounting,
        "= duplicates, rejected",
        "= 0, rejected",
    ),
    "10, rejected rows are in no class": (
        accounting,
        "= duplicates, rejected",
        "= duplicates, 0",
    ),
    "10, odd ages are not counted": (
        accounting,
        "odd_ages=int(self._inside(process.odd_time).sum())",
        "odd_ages=0",
    ),
    "11, an idle host is absent": (
        accounting,
        "idle[cover_index_of_use] = False",
        "idle[:] = False",
    ),
    "12, a machine never boots": (
        machine,
        "_SAME_BOOT_SECONDS = 60.0",
        "_SAME_BOOT_SECONDS = 9e9",
    ),
    "12, the kernel's count has no gaps": (
        machine,
        "together &= time[1:] - time[:-1] <= rules.max_gap_seconds",
        "pass",
    ),
    "12, machine use is per bucket": (
        machine,
        "(cpu[row] - cpu[row - 1]) * share, count) / covered",
        "(cpu[row] - cpu[row - 1]) * share, count) / 300",
    ),
    "12, memory used is that of the earlier row": (
        machine,
        "np.where(has_memory, machines.memory_used[row], 0.0)",
        "np.where(has_memory, machines.memory_used[row - 1], 0.0)",
    ),
    "12, every machine has 1,024 cores": (
        machine,
        "return np.where(recent, machines.cores[newest], cores)",
        "return cores * 0 + 1_024",
    ),
    "12, what is seen is compared everywhere": (
        accounting,
        "compared = whole >= BUCKET_SECONDS - _WHOLE_ROUNDING_SECONDS",
        "compared = whole > 0",
    ),
}


def kept_busy(host: str, *rest: Row) -> list[Row]:
    """Rows of a host whose snapshots, 300 s apart, are covered by a process of its own."""
    return [
        *(Row(host, T + t, 1, "root", "init", 9_000.0, GB, 9_000.0 + t) for t in COVERED),
        *rest,
    ]


def edges() -> Table:
    """What the histories do not have, or seldom: a host for each."""

    def aged(host: str, *ages: float) -> list[Row]:
        """Processes that are older than their stamps by so much more in the third snapshot."""
        return [
            Row(host, T + t, pid, "u", f"p{pid}", 9_000.0 + t, GB, 9_000.0 + t + age * (t >= 600))
            for t in COVERED
            for pid, age in enumerate(ages, 2)
        ]

    made = [
        *kept_busy("negative", Row("negative", T + 300, 9, "u", "py", 5.0, -1.0, 60.0)),
        *kept_busy(
            "odd",
            Row("odd", T, 9, "u", "py", 50.0, GB, 4_294_967_295.0),
            Row("odd", T + 300, 9, "u", "py", 350.0, GB, -1.0),
        ),
        *kept_busy(
            "twice",
            Row("twice", T + 300, 9, "u", "py", 50.0, GB, 60.0),
            Row("twice", T + 300, 9, "u", "py", 40.0, 2 * GB, 60.0),
        ),
        # A cluster of 200 s; a process that is in a cluster twice; a pass with a shared pid.
        *(Row("slow", T + 4 * i, i + 2, "u", "py", 100.0, GB, None) for i in range(50)),
        *(Row("often", T + 3 * i, 2, "u", "py", 100.0 + 3 * i, GB, None) for i in range(5)),
        *(Row("shared", T + i, 5, f"u{i}", "py", 100.0, GB, None) for i in range(3)),
        # Ages that stand still, at a cadence below the slack.
        *(Row("stuck", T + 10 * i, 2, "u", "py", 100.0 + i, GB, 25.0) for i in range(5)),
        # Two groups that take turns under pid 0.
        *kept_busy(
            "turns",
            *(Row("turns", T + t, 0, f"u{t % 600}", "py", 100.0 + t, GB, None) for t in COVERED),
        ),
        *aged("scattered", -100, 60, 200, 340, 480),
        *aged("a little late", 20, 20, 20),
        # Hidden from the second snapshot to the fifth.
        *kept_busy(
            "back again",
            *(Row("back again", T + t, 9, "u", "py", 20 + t / 9, GB, None) for t in (0, 1200)),
        ),
        *kept_busy("at a border", Row("at a border", T + 600.5, 9, "u", "py", 9.0, GB, 0.0)),
        # The first row has no age, and the second is younger than the time between them.
        *kept_busy(
            "younger",
            Row("younger", T, 9, "u", "py", 50.0, GB, None),
            Row("younger", T + 300, 9, "u", "py", 60.0, GB, 70.0),
        ),
        *(Row("seldom", T + 930 * i, 2, "u", "py", 100.0 + i, GB, None) for i in range(3)),
        *(Row("still", T + 300 * i, 2, "u", "py", 100.0 + i, GB, 25.0) for i in range(4)),
        *kept_busy("kernel"),
    ]
    kernel = [KernelRow("kernel", T + t, cpu_seconds=1_000.0 + t) for t in (0, 1_000, 1_200)]
    rules = AccountingRules(min_cputimes=10)
    return Table(raw_rows(made), kernel_rows(kernel), Window(T - 300, T + 1_800), rules)


@cache
def tables() -> list[tuple[Table, Recounted]]:
    """Tables with all faults between them, each with its recount."""
    made = [edges()]
    for seed, cadence in ((0, 10), (1, 60), (3, 120), (4, 300), (6, 600), (8, 300)):
        faults = tuple(random.Random(seed).sample(sorted(FAULTS), 9))
        recipe = Recipe(seed, cadence, faults, hosts=3)
        history = recipe.history(max(3_600, 20 * cadence))
        made.append(Table(history.rows, history.kernel, history.window, history.rules))
    return [(table, table.recounted()) for table in made]


def fails() -> list[str]:
    """The differences of the first table that has any."""
    for table, counted in tables():
        if found := table.differences(counted):
            return list(map(str, found))
    return []


def test_the_whole_domain_matches() -> None:
    assert fails() == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_broken_rule_makes_the_proof_fail(mutation: str) -> None:
    module, old, new = MUTATIONS[mutation]
    with mutant(module, old, new):
        assert fails()
    assert {name.split(",")[0].rstrip("abcde") for name in MUTATIONS} == set(map(str, range(1, 13)))
