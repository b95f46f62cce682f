"""Which days are compared with the source, which rows count as late, and what was tried before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.pipeline.late_rows import Attempts, days_to_compare, unsettled
from snapshot_assets.pipeline.settle import settle
from snapshot_assets.source.query import Tally
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT
from snapshot_assets_tests.support.settlings import ALICE, RULES, Settling


def test_a_day_is_compared_once_its_night_is_over() -> None:
    first = DAY - dt.timedelta(days=9)
    midnight = MIDNIGHT + 86_400
    for seconds, newest in ((105 * 60 - 1, DAY - dt.timedelta(days=1)), (105 * 60, DAY)):
        days = days_to_compare(midnight + seconds, first, 3)
        assert days == [newest - dt.timedelta(days=ago) for ago in (2, 1, 0)]
    assert days_to_compare(midnight + 7_200, DAY, 3) == [DAY], "no day before the first"
    assert days_to_compare(midnight + 7_200, DAY + dt.timedelta(days=1), 3) == []


def test_each_reason_to_settle_a_host_again(settling: Settling) -> None:
    hosts = ("alice", "bob", "carol", "dora")
    settling.load(*hosts)
    wanted = [HostDay(DAY, host) for host in hosts]
    settling.run(*wanted)
    tally = settling.source.tally(*RULES.read_range(ALICE.window))
    damaged: list[LakeError] = []

    def found(without: Collection[str] = (), **other: Tally) -> dict[str, str]:
        def without_documents(hosts: Collection[str]) -> Collection[str]:
            return set(hosts) & set(without)

        return unsettled(settling.lake, DAY, {**tally, **other}, without_documents, damaged.append)

    rows, newest = tally["alice"].rows, tally["alice"].newest_epoch
    assert found() == {}
    assert found(alice=Tally(rows - 1, newest)) == {}, "purged"
    assert found(alice=Tally(rows + 1, newest)) == {
        "alice": f"{rows + 1} rows, settled from {rows}"
    }
    assert list(found(alice=Tally(rows - 1, newest + 1))) == ["alice"], "fewer, but a newer one"
    assert found(eve=Tally(1, newest)) == {"eve": "was never settled"}
    assert found(without=["bob"]) == {"bob": "its documents were not written"}
    settling.load_more("carol")
    list(settle([wanted[2]], {"keep": settling.steps([wanted[2]])["keep"]}, settling.timer))
    tally |= settling.source.tally(*RULES.read_range(ALICE.window), hosts=["carol"])
    assert found() == {"carol": "its aggregates are older than its rows"}
    assert not damaged
    Path(settling.lake.path(AGGREGATES, DAY, "dora")).write_bytes(b"PAR1")
    assert found()["dora"] == "its aggregates are older than its rows"
    assert len(damaged) == 1


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(0, 1_000))
def test_turns_visit_every_day_and_yesterday_most_often(count: int, turn: int) -> None:
    days = [dt.date(2026, 11, 20) + dt.timedelta(days=i) for i in range(count)]
    cursor: str | None = Attempts(turn).dump()
    visited = []
    for _ in range(4 * count):
        attempts = Attempts.load(cursor, 0.0)
        visited.append(attempts.next_day(days))
        cursor = attempts.dump()
    bound = max(2 * (count - 1), 1)
    for first in range(len(visited) - bound + 1):
        others = set(visited[first : first + bound]) - {days[-1]}
        assert others == set(days[:-1]), "all the other days within so many comparisons"
    for pair in pairwise(visited):
        assert days[-1] in pair
    assert count == 1 or visited.count(days[-1]) == len(visited) // 2


def test_the_cursor_forgets_after_hours_and_fits_into_mysql() -> None:
    days = [dt.date(2026, 11, 1) + dt.timedelta(days=i) for i in range(7)]
    attempts, rows = Attempts(), Tally(5, 1.0)
    hosts = [f"host{i}.example.org" for i in range(1_500)]
    for day in days:
        attempts.remember(day, dict.fromkeys(hosts, rows), 1e9)
        attempts = Attempts.load(attempts.dump(), 1e9 + 10)
        assert not any(attempts.may_try(day, host, rows) for host in hosts[::100])
        assert attempts.may_try(day, hosts[0], Tally(5, 2.0))
        assert attempts.may_try(day, hosts[0], None)
        assert attempts.may_try(day - dt.timedelta(days=9), hosts[0], rows)
    assert attempts.may_try(days[0], hosts[0], rows), "the oldest attempt was left out"
    assert len(attempts.dump()) < 2**16 - 2_000, (
        "MySQL keeps a tick and its cursor in a TEXT column"
    )
    assert Attempts.load(attempts.dump(), 1e9 + 6 * 3_600).tried == []
