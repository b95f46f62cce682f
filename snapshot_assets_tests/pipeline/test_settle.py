"""Settling without Dagster: steps in order, defects apart, the newest file published."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from snapshot_assets.cli.leash import free_port
from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.accounting.rows import RejectedRowsError
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.ledger import LedgerError
from snapshot_assets.errors import (
    LakeError,
    SourceError,
    SourceOutageError,
    StoreOutageError,
)
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.pipeline.publish import PublishedDay
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.pipeline.settle import (
    HOSTS_PER_READ,
    AccountedDay,
    Defect,
    Done,
    KeptRows,
    settle,
)
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT, execute, load, row
from snapshot_assets_tests.support.settlings import ALICE, NEXT_DAY, RULES, Settling


def done(outcomes: Sequence[Done | Defect]) -> list[tuple[str, str]]:
    return [(one.host_day.host, one.step) for one in outcomes if isinstance(one, Done)]


def defects(outcomes: Sequence[Done | Defect]) -> dict[HostDay, Exception]:
    return {one.host_day: one.error for one in outcomes if isinstance(one, Defect)}


def collect(settling: Settling, wanted: Sequence[HostDay], outcomes: list[Done | Defect]) -> None:
    """Settle, and also return the outcomes before an outage."""
    for outcome in settle(wanted, settling.steps(wanted), settling.timer):
        outcomes.append(outcome)  # noqa: PERF402 (extend would lose them)


def test_each_host_day_goes_through_the_steps_and_each_step_reports(settling: Settling) -> None:
    settling.load("alice", "bob")
    outcomes = settling.run(ALICE, HostDay(DAY, "bob"))
    steps = ("keep", "account", "publish")
    assert done(outcomes) == [(host, step) for host in ("alice", "bob") for step in steps]

    rows = settling.rows("alice")
    expected = account(rows, ALICE.window, RULES)
    kept, accounted, published = (one.report for one in outcomes[:3] if isinstance(one, Done))
    assert isinstance(kept, KeptRows)
    times = rows["snapshot_time_epoch"]
    assert (kept.rows, kept.snapshots) == (len(rows), times.nunique())
    assert kept.newest_epoch == times.max()
    assert isinstance(accounted, AccountedDay)
    assert (accounted.rows, accounted.ledger) == (len(expected.aggregates), expected.ledger)
    assert list(accounted.cores) == sorted(expected.bucket_starts())
    cover = expected.aggregates.groupby("bucket_start")["covered_seconds"].first()
    covered = zip(accounted.cores.values(), cover, strict=True)
    assert sum(cores * seconds for cores, seconds in covered) == pytest.approx(
        accounted.ledger.attributed_cpu_seconds
    )
    assert isinstance(published, PublishedDay)
    assert published.ledger == expected.ledger
    assert published.buckets == published.written.written == len(accounted.cores)

    assert list(settling.documents("alice")) == list(accounted.cores)
    sizes = {path: len(content) for path, content in settling.files().items()}
    assert sizes[f"raw_process_rows/day={DAY}/host=alice.parquet"] == kept.file_bytes
    assert sizes[f"five_minute_aggregates/day={DAY}/host=alice.parquet"] == accounted.file_bytes


def test_what_a_step_took_is_reported_with_it(settling: Settling) -> None:
    settling.load("alice")
    keep, accounting, publishing = settling.run(ALICE)
    for outcome, parts in (
        (keep, {"read", "validate", "write"}),
        (accounting, {"read", "validate", "account", "write"}),
        (publishing, {"read", "validate", "document", "write"}),
    ):
        assert isinstance(outcome, Done)
        assert {part for part, seconds in outcome.seconds.items() if seconds > 0} == parts


def test_hosts_of_one_day_are_read_together_and_kept_as_if_read_alone(settling: Settling) -> None:
    hosts = [f"host{i}" for i in range(HOSTS_PER_READ + 2)]
    settling.load(*hosts)
    wanted = [HostDay(day, host) for day in (DAY, NEXT_DAY) for host in hosts]
    assert not defects(settling.run(*wanted))
    first, rest = hosts[:HOSTS_PER_READ], hosts[HOSTS_PER_READ:]
    assert settling.source.reads == [
        (day, group) for day in (DAY, NEXT_DAY) for group in (first, rest)
    ]
    together = settling.files()
    for host_day in wanted:
        settling.run(host_day)
    assert settling.files() == together


def test_a_host_day_without_rows_is_an_empty_one(settling: Settling) -> None:
    settling.load("alice")
    outcomes = settling.run(HostDay(DAY, "nobody"))
    kept, accounted, published = (one.report for one in outcomes if isinstance(one, Done))
    assert isinstance(kept, KeptRows)
    assert (kept.rows, kept.snapshots, kept.newest_epoch) == (0, 0, None)
    assert isinstance(accounted, AccountedDay)
    assert (accounted.rows, accounted.cores) == (0, {})
    assert isinstance(published, PublishedDay)
    assert published.buckets == 0
    entry = settling.lake.entry(AGGREGATES, DAY, "nobody")
    assert entry is not None
    assert (entry.note.raw_rows, entry.note.raw_newest_epoch) == (0, None)
    assert entry.note.bucket_starts(ALICE.window) == []


# --- defects ---------------------------------------------------------------------------------


def test_a_defect_stops_its_host_day_alone(settling: Settling) -> None:
    settling.load("alice", "bob", "carol")
    execute(settling.source, "UPDATE processes SET cputimes = -5 WHERE host = 'bob' AND pid = 7")
    bob = HostDay(DAY, "bob")
    outcomes = settling.run(ALICE, bob, HostDay(DAY, "carol"))
    found = defects(outcomes)
    assert list(found) == [bob]
    assert isinstance(found[bob], RejectedRowsError)
    assert [host for host, step in done(outcomes) if step == "publish"] == ["alice", "carol"]
    assert not any("bob" in path for path in settling.files())
    assert settling.documents("carol")
    assert not settling.documents("bob")


def test_a_query_that_fails_for_one_host_is_repeated_host_by_host(settling: Settling) -> None:
    settling.load("alice", "bob", "carol")
    settling.source.unreadable = {"bob"}
    hosts = ["alice", "bob", "carol"]
    outcomes = settling.run(*(HostDay(DAY, host) for host in hosts))
    assert list(defects(outcomes)) == [HostDay(DAY, "bob")]
    assert settling.source.reads == [(DAY, hosts), *((DAY, [host]) for host in hosts)]


def test_a_ledger_that_does_not_balance_is_a_defect_and_nothing_is_kept_of_it(
    settling: Settling, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling.load("alice", "bob")

    def lossy(rows: pd.DataFrame, *arguments: Any) -> Any:
        whole = account(rows, *arguments)
        if "bob" not in set(rows["host"]):
            return whole
        return dataclasses.replace(whole, aggregates=whole.aggregates.iloc[1:])

    monkeypatch.setattr("snapshot_assets.pipeline.settle.account", lossy)
    outcomes = settling.run(ALICE, HostDay(DAY, "bob"))
    (error,) = defects(outcomes).values()
    assert isinstance(error, LedgerError)
    assert done(outcomes)[-1] == ("bob", "keep")
    assert settling.lake.entry(AGGREGATES, DAY, "bob") is None
    assert settling.documents("alice")


def test_a_later_step_alone_needs_what_the_step_before_it_kept(settling: Settling) -> None:
    settling.load("alice")
    steps = settling.steps([])
    later = {name: steps[name] for name in ("account", "publish")}
    (defect,) = settle([ALICE], later, settling.timer)
    assert isinstance(defect, Defect)
    assert isinstance(defect.error, LakeError)
    assert "raw_process_rows of 'alice' on 2026-11-20 is not in the lake" in str(defect.error)
    settling.run(ALICE)
    execute(settling.source, "DROP TABLE processes")
    assert done(list(settle([ALICE], later, settling.timer))) == [
        ("alice", "account"),
        ("alice", "publish"),
    ]


def test_a_day_whose_rows_were_purged_stays_as_it_was_settled(settling: Settling) -> None:
    settling.load("alice")
    settling.run(ALICE)
    before = settling.files()
    for purge, begins in (
        (f"DELETE FROM processes WHERE snapshot_time_epoch < {MIDNIGHT + 900}", "begins at 2026-"),
        ("DELETE FROM processes", "is empty"),
    ):
        execute(settling.source, purge)
        (error,) = defects(settling.run(ALICE)).values()
        assert isinstance(error, SourceError)
        assert begins in str(error)
        assert settling.lake.path(RAW_ROWS, DAY, "alice") in str(error)
        assert settling.files() == before
    load(settling.source, [row("carol", 5, 1)], create=None)
    assert defects(settling.run(ALICE)), "a clock from 1970 does not reach back to the day"


def test_fewer_rows_replace_the_settled_ones_where_the_source_reaches_further_back(
    settling: Settling,
) -> None:
    settling.load("alice")
    settling.run(ALICE)
    execute(settling.source, "DELETE FROM processes WHERE pid = 9")
    assert not defects(settling.run(ALICE))
    entry = settling.lake.entry(RAW_ROWS, DAY, "alice")
    assert entry is not None
    assert entry.rows == len(settling.rows("alice"))


def test_a_damaged_file_of_rows_is_replaced_whatever_the_source_still_has(
    settling: Settling,
) -> None:
    settling.load("alice")
    settling.run(ALICE)
    execute(settling.source, f"DELETE FROM processes WHERE snapshot_time_epoch < {MIDNIGHT + 900}")
    Path(settling.lake.path(RAW_ROWS, DAY, "alice")).write_bytes(b"PAR1")
    assert not defects(settling.run(ALICE))


def test_host_days_are_kept_in_their_order(settling: Settling) -> None:
    settling.load("alice", "bob")
    bob = HostDay(DAY, "bob")
    keep = settling.steps([ALICE, bob])["keep"]
    with pytest.raises(ValueError, match="the next host-day to keep is alice on 2026-11-20, not b"):
        keep(bob)


# --- outages -----------------------------------------------------------------------------------


def test_an_outage_of_the_source_ends_it_after_what_was_done(settling: Settling) -> None:
    hosts = [f"host{i}" for i in range(HOSTS_PER_READ + 1)]
    settling.load(*hosts)
    settling.source.fail = lambda read: hosts[-1] in read
    wanted = [HostDay(DAY, host) for host in hosts]
    outcomes: list[Done | Defect] = []
    with pytest.raises(SourceOutageError):
        collect(settling, wanted, outcomes)
    published = [host for host, step in done(outcomes) if step == "publish"]
    assert published == hosts[:-1]
    assert not defects(outcomes)


def test_an_outage_of_redis_is_no_defect(settling: Settling) -> None:
    settling.load("alice")
    hasty = Patience(0.2, 0, 0.1)
    outcomes: list[Done | Defect] = []
    with RedisWriter(port=free_port(), patience=hasty) as gone:
        settling.writer = gone
        with pytest.raises(StoreOutageError):
            collect(settling, [ALICE], outcomes)
    assert done(outcomes) == [("alice", "keep"), ("alice", "account")]
    assert not defects(outcomes)


# --- two settlings at the same time ------------------------------------------------------------


@pytest.mark.parametrize("step", ["account", "publish"])
def test_a_file_that_is_replaced_meanwhile_is_read_again(
    settling: Settling, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling.load("alice")
    settling.run(ALICE)
    steps = settling.steps([])
    read = settling.lake.read
    raced: list[bool] = []

    def slow(*arguments: Any) -> Any:
        found = read(*arguments)
        if not raced:
            raced.append(True)
            settling.load_more("alice")
            settling.run(ALICE)
        return found

    monkeypatch.setattr(settling.lake, "read", slow)
    steps[step](ALICE)
    newest = account(settling.rows("alice"), ALICE.window, RULES)
    _, note = read(AGGREGATES, *ALICE)
    assert note.ledger == newest.ledger
    assert list(settling.documents("alice")) == sorted(newest.bucket_starts())
