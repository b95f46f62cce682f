"""A host-day exists if a row or a covered second lies in the day; every part follows this rule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

import dagster as dg
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.orchestration.assets import SNAPSHOTS
from snapshot_assets.orchestration.partitions import (
    add_hosts,
    dagster_key,
    host_day_of,
    known_hosts,
)
from snapshot_assets.orchestration.resources import RedisResource, environment_resources
from snapshot_assets.orchestration.settling import Stretch, stretches
from snapshot_assets.pipeline.census import census
from snapshot_assets.pipeline.proof.prove import prove_host_days
from snapshot_assets.source.query import ProcessSource
from snapshot_assets_tests.support.field_table import (
    DAY,
    MIDNIGHT,
    hosts_at_the_edge,
    hosts_in_the_margins,
    load,
    row,
    rows_at,
)
from snapshot_assets_tests.support.pipelines import (
    Pipeline,
    WatchedPipeline,
    checks,
    metadata,
    whole,
)

RULES = AccountingRules()
WINDOW = Window.of_day(DAY)
EDGE, MARGIN = hosts_at_the_edge(), hosts_in_the_margins()


@pytest.fixture
def both(pipeline: Pipeline) -> Pipeline:
    """A pipeline whose table has the hosts at the edge and those in the margins."""
    load(pipeline.source, rows_at(EDGE | MARGIN))
    return pipeline


def hosts_of(requests: Iterable[dg.RunRequest], instance: dg.DagsterInstance) -> list[str]:
    """The hosts that these runs settle."""
    known, found = known_hosts(instance), []
    for request in requests:
        first, last = (
            host_day_of(request.tags[f"dagster/asset_partition_range_{end}"]).host
            for end in ("start", "end")
        )
        found += known[known.index(first) : known.index(last) + 1]
    return sorted(found)


def night_tick(site: WatchedPipeline) -> tuple[list[dg.RunRequest], str | None]:
    """Evaluate the nightly schedule after the site's day: its run requests, or its skip reason."""
    night = dt.datetime.combine(site.day, dt.time(0, 45), dt.UTC) + dt.timedelta(days=1)
    with dg.build_schedule_context(
        instance=site.instance, scheduled_execution_time=night, resources=environment_resources()
    ) as context:
        done = site.defs.resolve_schedule_def("settle_the_day_before").evaluate_tick(context)
    return list(done.run_requests or []), done.skip_message


def test_the_source_and_the_ledger_know_the_same_host_days(both: Pipeline) -> None:
    with both.source as source:
        assert source.hosts(*RULES.own_range(WINDOW)) == sorted(EDGE)
        touching = source.tally(*RULES.read_range(WINDOW))
        assert sorted(touching) == sorted(EDGE | MARGIN), "the day reads all of them"
        own = source.tally(*RULES.read_range(WINDOW), own=RULES.own_range(WINDOW))
        assert own == {host: touching[host] for host in EDGE}, "their margins are counted too"
        for host in touching:
            rows = source.read_sql(*RULES.read_range(WINDOW), [host])
            assert account(rows, WINDOW, RULES).ledger.touches_window == (host in EDGE)


@pytest.mark.parametrize("max_gap", [900, DAY_SECONDS])
def test_a_day_with_a_covered_second_has_a_row(pipeline: Pipeline, max_gap: int) -> None:
    """Also with the longest gap that can be set, rows and covered seconds follow one rule."""
    rules, end = AccountingRules(max_gap_seconds=max_gap), MIDNIGHT + DAY_SECONDS
    cases = {
        "over it": (MIDNIGHT - 1, end),
        "from its start": (MIDNIGHT, end),
        "to its end": (MIDNIGHT - 1, end - 1),
        "up to its start": (MIDNIGHT - 300, MIDNIGHT),
    }
    load(pipeline.source, rows_at(cases))
    with pipeline.source as source:
        own = source.hosts(*rules.own_range(WINDOW))
        for host in cases:
            rows = source.read_sql(*rules.read_range(WINDOW), [host])
            ledger = account(rows, WINDOW, rules).ledger
            assert ledger.touches_window == (host in own), host
            assert host in own or ledger.covered_seconds == 0
    assert "over it" not in own


def test_sqlite_counts_them_alike(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("sqlite") / "processes.db"
    with ProcessSource(f"sqlite:///{file}") as source:
        load(source, rows_at(EDGE | MARGIN))
        own = source.tally(*RULES.read_range(WINDOW), own=RULES.own_range(WINDOW))
        assert sorted(own) == sorted(EDGE)
        assert own["across its start"].rows == 2


def test_the_night_makes_no_partition_of_a_margin(site: WatchedPipeline) -> None:
    edge, margin = (of(site.midnight) for of in (hosts_at_the_edge, hosts_in_the_margins))
    load(site.source, rows_at(edge | margin), create=None)
    # The live path knows all hosts by then; a host that is silent all day may be settled, too.
    add_hosts(site.instance, [*edge, *margin, "b, silent"])
    requests, _ = night_tick(site)
    settled = hosts_of(requests, site.instance)
    assert set(settled) - {"b, silent"} == set(edge)
    for request in requests:
        job = site.defs.resolve_job_def(str(request.job_name))
        done = job.execute_in_process(instance=site.instance, tags=dict(request.tags))
        proof = checks(done)["cpu_seconds_equal_source"]
        assert proof.passed
    made = site.instance.get_materialized_partitions(dg.AssetKey(SNAPSHOTS))
    assert not made & {dagster_key(HostDay(site.day, host)) for host in margin}
    assert made >= {dagster_key(HostDay(site.day, host)) for host in edge}
    assert site.late() == set(), "every host-day is settled"


def test_a_night_with_rows_in_the_margins_alone_is_skipped(site: WatchedPipeline) -> None:
    load(site.source, rows_at(hosts_in_the_margins(site.midnight)), create=None)
    requests, skipped = night_tick(site)
    assert not requests
    assert skipped == f"no host has rows on {site.day}"
    assert known_hosts(site.instance) == []


def test_late_rows_in_a_margin_make_no_partition(site: WatchedPipeline) -> None:
    edge, margin = (of(site.midnight) for of in (hosts_at_the_edge, hosts_in_the_margins))
    load(site.source, rows_at(margin), create=None)
    assert site.tick() == ([], f"{site.day}: 0 hosts compared, nothing new")
    load(site.source, rows_at(edge), create=None)
    assert site.late() == set(edge)
    assert set(known_hosts(site.instance)) == set(edge)
    site.add("after it", DAY_SECONDS - 1)
    assert site.late() == {*edge, "after it"}, "the first row in the day makes it a host-day"


def test_settle_takes_the_days_that_hosts_have() -> None:
    day = dt.timedelta(days=1)
    found = {DAY: ["a", "b"], DAY + day: ["a", "b"], DAY + 2 * day: ["a"], DAY + 4 * day: ["a"]}
    assert stretches({DAY - day: [], **found, DAY + 3 * day: []}) == [
        Stretch(DAY, DAY + day, ("a", "b")),
        Stretch(DAY + 2 * day, DAY + 2 * day, ("a",)),
        Stretch(DAY + 4 * day, DAY + 4 * day, ("a",)),
    ]
    assert stretches({DAY: []}) == []


def test_a_day_asked_for_without_a_row_in_it_is_an_empty_one(both: Pipeline) -> None:
    """Rows only in the margins, or no rows: the backfill succeeds, and the partition is empty."""
    load(both.source, [row("elsewhere", MIDNIGHT - 10 * DAY_SECONDS, 1)], create=None)
    requested = [*MARGIN, "elsewhere"]
    result = both.settle(requested)
    assert result.success
    assert {name: check.passed for name, check in checks(result).items()} == dict.fromkeys(
        checks(result), True
    )
    assert len(checks(result)) == 11
    made = metadata(result, SNAPSHOTS)
    assert set(made) == {dagster_key(HostDay(DAY, host)) for host in requested}
    lake = both.lake
    with both.reader() as reader, both.source as source:
        for host in requested:
            assert made[dagster_key(HostDay(DAY, host))]["documents_written"] == 0
            frame, note = lake.read(AGGREGATES, DAY, host)
            assert len(frame) == 0
            assert not note.ledger.touches_window
            raw, _ = lake.read(RAW_ROWS, DAY, host)
            assert len(raw) == len(MARGIN.get(host, ()))
            assert reader.get_data(host, *whole(DAY)) == {}
        wanted = [HostDay(DAY, host) for host in requested]
        proofs = prove_host_days(source, lake, reader, wanted, RULES, DocumentRules(), 60)
        assert {proof.verdict for _, proof in proofs.found} == {"match"}
        taken = census(lake, reader, DAY)
    assert (taken.expected, taken.irregularities) == (0, ())


def test_a_restoration_counts_the_host_days_that_exist(both: Pipeline) -> None:
    assert both.settle([*EDGE, *MARGIN]).success
    redis = RedisResource(url=both.redis_url, retention_days=both.retention_days)
    with both.reader() as reader, redis.writer() as writer:
        before = {host: reader.get_data(host, *whole(DAY)) for host in EDGE}
        assert before["across its start"]
        reader.base.client.flushall()
        seen: list[tuple[dt.date, int]] = []
        report = writer.restore(both.lake, progress=lambda day, hosts: seen.append((day, hosts)))
        assert report.host_days == len(EDGE)
        assert seen == [(DAY, len(EDGE))]
        assert {host: reader.get_data(host, *whole(DAY)) for host in EDGE} == before
