"""The live refresh: it reads new rows, catches up after outages, and leaves out defective hosts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.rules import AccountingRules, DocumentRules, LiveRules
from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.errors import SourceOutageError, StoreOutageError
from snapshot_assets.pipeline.live import LiveReport
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.source.query import ProcessSource, Reading, SourceTable
from snapshot_assets.store.layout import Retention
from snapshot_assets_tests.support.field_table import (
    DAY,
    MIDNIGHT,
    Row,
    busy_host,
    execute,
    load,
    row,
)
from snapshot_assets_tests.support.servers import MariaDB, Redis

NOON = MIDNIGHT + 12 * 3600
RULES = AccountingRules()
MARGIN = -RULES.read_range(Window(0, 0))[0]
FOREVER = 36_500 * 86_400


class RememberingSource(ProcessSource):
    """Records its reads, and fails where a test chooses."""

    def __init__(self, url: str, table: SourceTable) -> None:
        super().__init__(url, table)
        self.reads: list[tuple[float, float, list[str] | None]] = []
        self.fail_at: Callable[[float], bool] = lambda _: False

    def read(self, start: Any, end: Any, hosts: Any = None) -> Reading:
        if self.fail_at(start):
            raise SourceOutageError("gone")
        self.reads.append((start, end, hosts))
        return super().read(start, end, hosts)


class LiveTicks:
    """Refreshes of a Redis from a source, at times that a test chooses."""

    def __init__(self, source: RememberingSource, redis: Redis) -> None:
        self.source, self.redis = source, redis
        self.now = float(NOON)

    def tick(self, now: float, rules: LiveRules | None = None, **options: Any) -> LiveReport:
        self.now, self.source.reads = now, []
        with RedisWriter(
            port=self.redis.port, clock=lambda: self.now, retention=Retention(*[FOREVER] * 4)
        ) as writer:
            return writer.store_data(self.source, rules=rules, **options)

    def documents(self) -> dict[str, dict[str, bytes]]:
        with self.redis.client() as client:
            keys: Any = client.keys("20*")
            return {
                key.decode(): {host.decode(): body for host, body in client.hgetall(key).items()}
                for key in sorted(keys)
            }

    def expected(self, first: float, now: float) -> dict[str, dict[str, bytes]]:
        """The documents that one long window would have."""
        window = Window.around(first, now)
        rows = self.source.read_sql(*RULES.read_range(window))
        aggregates = account(rows, window, RULES).aggregates
        table = documents(usage_from_aggregates(aggregates, DocumentRules(), "live"))
        found: dict[str, dict[str, bytes]] = {}
        for bucket, host, body in zip(
            table["bucket_start"], table["host"], table["body"], strict=True
        ):
            found.setdefault(bucket_iso(bucket), {})[host] = body
        return found


@pytest.fixture
def site(mariadb: MariaDB, redis_server: Redis) -> Iterator[LiveTicks]:
    with RememberingSource(mariadb.url(), SourceTable(rss_unit="KiB")) as source:
        load(source, [])
        yield LiveTicks(source, redis_server)


def until(host: str, first: int, last: int) -> list[Row]:
    return [r for r in busy_host(host) if first <= r["snapshot_time_epoch"] < last]


def add(site: LiveTicks, *rows: Row) -> None:
    load(site.source, rows, create=None)


def test_a_tick_reads_the_lookback_and_no_more(site: LiveTicks) -> None:
    add(site, *until("alice", MIDNIGHT, NOON))
    site.tick(NOON)
    add(site, *until("alice", NOON, NOON + 300))
    report = site.tick(NOON + 300)
    ((start, end, hosts),) = site.source.reads
    assert hosts is None
    assert start >= NOON - 1800 - MARGIN - 300
    assert end == RULES.read_range(report.window)[1]
    assert report.window == Window(NOON - 1800, NOON + 600)
    assert report.live_until == NOON + 300
    assert site.documents() == site.expected(MIDNIGHT, NOON + 300)


def test_the_current_bucket_is_published_as_far_as_it_goes(site: LiveTicks) -> None:
    rows = until("alice", NOON - 1200, NOON + 200)
    add(site, *rows)
    site.tick(NOON + 200)
    first = site.documents()[bucket_iso(NOON)]["alice"]
    newest = rows[-1]["snapshot_time_epoch"]
    assert f'"coverage":{round((newest - NOON) / 300, 6)}'.encode() in first
    add(site, *until("alice", NOON + 200, NOON + 400))
    report = site.tick(NOON + 400)
    second = site.documents()[bucket_iso(NOON)]["alice"]
    assert b'"coverage":1.0' in second
    assert b'"stage":"live"' in second
    assert 0 < report.coverage_now < 0.1


def test_an_outage_is_caught_up_from_where_it_began(site: LiveTicks) -> None:
    add(site, *until("alice", MIDNIGHT, NOON), *until("bob", MIDNIGHT, NOON))
    site.tick(MIDNIGHT + 3600)
    report = site.tick(NOON)
    assert report.window.start == MIDNIGHT + 3600 - 1800
    assert len(site.source.reads) == 6, "in slices of two hours"
    assert not report.days_left_out
    assert site.documents() == site.expected(MIDNIGHT - 3600, NOON)


def test_an_interrupted_catch_up_goes_on_where_it_stopped(site: LiveTicks) -> None:
    add(site, *until("alice", MIDNIGHT, NOON))
    site.tick(MIDNIGHT + 3600)
    site.source.fail_at = lambda start: start > MIDNIGHT + 6 * 3600
    with pytest.raises(SourceOutageError):
        site.tick(NOON)
    done = len(site.source.reads)
    assert done >= 2
    site.source.fail_at = lambda _: False
    report = site.tick(NOON)
    assert len(site.source.reads) < 6
    assert report.window.start > MIDNIGHT + 4 * 3600
    assert site.documents() == site.expected(MIDNIGHT - 3600, NOON)


def test_a_redis_emptied_during_a_refresh_keeps_no_watermark(site: LiveTicks) -> None:
    """Otherwise the documents published before would be missing until the night."""
    add(site, *until("alice", MIDNIGHT, NOON))

    def empty(start: float) -> bool:
        if start > MIDNIGHT + 6 * 3600:
            with site.redis.client() as client:
                client.flushall()
        return False

    site.source.fail_at = empty
    with pytest.raises(StoreOutageError, match="emptied while"):
        site.tick(NOON)
    with RedisWriter(port=site.redis.port) as writer:
        assert writer.progress().live_until is None
    site.source.fail_at = lambda _: False
    site.tick(NOON)
    assert site.documents() == site.expected(MIDNIGHT - 3600, NOON)


def test_what_lies_beyond_the_limit_is_named(site: LiveTicks) -> None:
    add(site, *until("alice", MIDNIGHT, NOON))
    rules = LiveRules(1800, 6 * 3600)
    site.tick(MIDNIGHT - 86_400, rules)
    report = site.tick(NOON, rules)
    assert report.window.start == NOON - 6 * 3600
    assert report.days_left_out == (DAY - dt.timedelta(days=2), DAY - dt.timedelta(days=1), DAY)
    assert min(site.documents()) == bucket_iso(NOON - 6 * 3600)
    assert not site.tick(NOON + 300, rules).days_left_out


def test_a_first_refresh_starts_after_the_settled_days(site: LiveTicks) -> None:
    add(site, *until("alice", MIDNIGHT - 3600, NOON))
    report = site.tick(NOON, settled_until=MIDNIGHT)
    assert report.window.start == MIDNIGHT
    assert min(start for start, *_ in site.source.reads) == MIDNIGHT - MARGIN
    with site.redis.client() as client:
        client.flushall()
    report = site.tick(NOON)
    assert report.window.start == NOON - 36 * 3600, "Redis knows no host: as far back as the limit"
    with site.redis.client() as client:
        client.flushall()
    report = site.tick(NOON, settled_until=NOON + 86_400)
    assert report.window.start == NOON - 1800, "at least the lookback"


def test_a_host_that_was_silent_brings_its_backlog(site: LiveTicks) -> None:
    add(site, *until("alice", MIDNIGHT, NOON), *until("bob", MIDNIGHT, MIDNIGHT + 7200))
    for now in range(MIDNIGHT + 3600, NOON, 3600):
        site.tick(now)
    add(site, *until("bob", MIDNIGHT + 7200, NOON), *until("new", NOON - 7200, NOON))
    report = site.tick(NOON)
    assert report.new_hosts == ("new",)
    assert set(report.returned) == {"bob", "new"}
    last = until("bob", MIDNIGHT, MIDNIGHT + 7200)[-1]["snapshot_time_epoch"]
    assert report.returned["bob"] == last
    assert site.documents() == site.expected(MIDNIGHT - 3600, NOON)
    backlog = {host for _, _, hosts in site.source.reads if hosts for host in hosts}
    assert backlog == {"bob", "new"}, "no other host is read again"
    site.tick(NOON + 60)
    assert len(site.source.reads) == 1


def test_a_defect_is_blamed_on_its_host_and_heals(site: LiveTicks) -> None:
    hosts = ("alice", "bob", "carol", "dave", "eve")
    for host in hosts:
        add(site, *until(host, MIDNIGHT, NOON))
    site.tick(MIDNIGHT + 3600)
    execute(
        site.source,
        "UPDATE processes SET cputimes = -5 WHERE host = 'carol' AND snapshot_time_epoch > :t",
        t=NOON - 600,
    )
    add(site, *(row("eve", NOON - 60, pid, rss=None) for pid in range(70, 75)))
    report = site.tick(NOON)
    assert set(report.defects) == {"carol", "eve"}
    assert "cputimes" in str(report.defects["carol"])
    assert "rss" in str(report.defects["eve"])
    newest = site.documents()[bucket_iso(NOON - 300)]
    assert set(newest) == {"alice", "bob", "dave"}

    execute(site.source, "UPDATE processes SET cputimes = 40 WHERE cputimes < 0")
    execute(site.source, "DELETE FROM processes WHERE rss IS NULL")
    # Hours later, well past the lookback: the next refresh publishes the host that was left out.
    add(site, *(r for host in hosts for r in until(host, NOON, NOON + 7200)))
    report = site.tick(NOON + 7200)
    assert not report.defects
    assert site.documents() == site.expected(MIDNIGHT - 3600, NOON + 7200)


def test_values_that_cannot_be_read_concern_their_host_alone(site: LiveTicks) -> None:
    """Rows without a host, and a host that is no text, are counted. Nothing is read twice."""
    hosts = ("alice", "bob", "carol", "dave")
    for host in hosts:
        add(site, *until(host, MIDNIGHT, NOON))
    site.tick(NOON - 1200)
    execute(
        site.source,
        "ALTER TABLE processes MODIFY host VARBINARY(20), MODIFY cputimes VARCHAR(20), "
        "MODIFY etimes VARCHAR(20), MODIFY username VARBINARY(50)",
    )
    recent = {"t": NOON - 900}
    where = "AND snapshot_time_epoch > :t"
    for change in (
        f"cputimes = SEC_TO_TIME(cputimes) WHERE host = 'bob' {where}",
        f"username = X'ff' WHERE host = 'carol' {where}",
        f"etimes = '' WHERE host = 'dave' {where}",
    ):
        execute(site.source, f"UPDATE processes SET {change}", **recent)
    for host in ("NULL", "X'ff'"):
        execute(
            site.source,
            "INSERT INTO processes (host, pid, username, comm, cputimes, rss, snapshot_time_epoch) "
            f"VALUES ({host}, 1, 'u', 'c', '1', 1, {NOON - 60})",
        )
    report = site.tick(NOON)
    assert len(site.source.reads) == 1
    assert set(report.defects) == {"bob", "carol"}
    assert "cputimes of bob" in str(report.defects["bob"])
    assert "no number, '" in str(report.defects["bob"])
    assert "username of carol" in str(report.defects["carol"])
    assert "carol" not in str(report.defects["bob"])
    assert report.rows_without_host == 2
    assert any(remark.startswith("etimes of dave: ") for remark in report.remarks)
    assert set(site.documents()[bucket_iso(NOON - 300)]) == {"alice", "dave"}

    execute(site.source, "UPDATE processes SET cputimes = 40 WHERE cputimes LIKE '%:%'")
    report = site.tick(NOON + 60)
    assert set(report.defects) == {"carol"}
    assert set(site.documents()[bucket_iso(NOON - 300)]) == {"alice", "bob", "dave"}


def test_times_of_32_bits_leave_out_their_host(site: LiveTicks) -> None:
    for host in ("alice", "bob"):
        add(site, *until(host, MIDNIGHT, NOON))
    execute(
        site.source,
        "UPDATE processes SET snapshot_time_epoch = CAST(snapshot_time_epoch / 128 AS INT) * 128 "
        "WHERE host = 'bob'",
    )
    report = site.tick(NOON)
    assert set(report.defects) == {"bob"}
    assert "snapshots merge" in str(report.defects["bob"])
    assert {host for bucket in site.documents().values() for host in bucket} == {"alice"}


def test_ticks_in_any_rhythm_end_with_the_same_documents(site: LiveTicks) -> None:
    """Also with late rows, as long as they come within the lookback."""
    everything = until("alice", MIDNIGHT, MIDNIGHT + 14_400)
    for now in range(MIDNIGHT + 300, MIDNIGHT + 14_700, 300):
        late = 900 if (now // 300) % 3 else 0
        arrived = [r for r in everything if r["snapshot_time_epoch"] < now - late]
        add(site, *arrived)
        for r in arrived:
            everything.remove(r)
        site.tick(now)
    add(site, *everything)
    site.tick(MIDNIGHT + 14_700)
    assert site.documents() == site.expected(MIDNIGHT - 3600, MIDNIGHT + 14_700)


def test_after_a_change_of_settings_nothing_live_is_left_of_the_old_ones(site: LiveTicks) -> None:
    """Also if the refresh that publishes everything again is interrupted."""
    add(site, *until("alice", MIDNIGHT - 3600, NOON))
    site.tick(NOON - 600, settled_until=MIDNIGHT)
    assert site.tick(NOON - 300, settled_until=MIDNIGHT).changes == ()
    changed: dict[str, Any] = {
        "accounting": AccountingRules(excluded_users=("ben",)),
        "documents_rules": DocumentRules(cpu_threshold_cores=7),
        "settled_until": MIDNIGHT,
    }
    site.source.fail_at = lambda start: start > MIDNIGHT + 6 * 3600
    with pytest.raises(SourceOutageError):
        site.tick(NOON, **changed)
    with RedisWriter(port=site.redis.port) as writer:
        assert writer.progress().live_until == NOON - 300, "nothing published before was lost"
    site.source.fail_at = lambda _: False
    report = site.tick(NOON, **changed)
    assert report.changes == ('exclude_users none -> "ben"', "cpu_threshold 0.05 -> 7")
    assert report.window.start == MIDNIGHT, "the end of the settled days"
    again = site.documents()
    assert not [body for hosts in again.values() for body in hosts.values() if b'"ben"' in body]
    with site.redis.client() as client:
        client.flushall()
    site.tick(NOON, **changed)
    assert site.documents() == again, "as if nothing had been published before"
    assert site.tick(NOON + 300, **changed).window.start == NOON - 1800


def test_live_documents_of_an_earlier_version_are_published_again(site: LiveTicks) -> None:
    """It did not record its settings; neither does a record that is damaged."""
    add(site, *until("alice", MIDNIGHT, NOON))
    site.tick(NOON - 300, settled_until=MIDNIGHT)
    for damage in (None, "{", "[1]"):
        with site.redis.client() as client:
            if damage is None:
                client.hdel("snapshot_assets:state", "live_recipe")
            else:
                client.hset("snapshot_assets:state", "live_recipe", damage)
        report = site.tick(NOON, settled_until=MIDNIGHT)
        assert report.changes == ("made by an earlier version",)
        assert report.window.start == MIDNIGHT


def test_progress_is_kept_in_redis_beside_the_documents(site: LiveTicks) -> None:
    add(site, *until("alice", NOON - 1200, NOON))
    site.tick(NOON)
    with RedisWriter(port=site.redis.port) as writer:
        progress = writer.progress()
        assert progress.live_until == NOON
        newest = until("alice", NOON - 1200, NOON)[-1]["snapshot_time_epoch"]
        assert progress.newest_epoch == {"alice": newest}
        assert not progress.complete
        writer.record_complete(True)
        assert writer.progress().complete
