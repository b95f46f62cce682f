"""The whole product in operation: webserver, daemon, servers that die, late rows.

All tests of this module share one deployment; each test has hosts or days of its own.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES, RAW_ROWS
from snapshot_assets.orchestration.partitions import dagster_key
from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets.store.layout import COMPLETE
from snapshot_assets_tests.support.deployment import NEVER, Deployment
from snapshot_assets_tests.support.field_table import FIELD_TABLE, busy_host, execute, load, row
from snapshot_assets_tests.support.servers import MariaDB, Redis
from snapshot_assets_tests.support.webhook import Webhook

# A daemon's ticks and runs take minutes where other programs want the processors, too.
pytestmark = pytest.mark.timeout(900)

ASSETS = ("raw_process_rows", "five_minute_aggregates", "redis_snapshots")
TOMORROW = -1  # days ago, since it may begin while the tests run


@dataclass
class Operation:
    """Servers, settings and a deployment, and the results that an undisturbed run would have.

    Days are counted back from the day on which the tests began.
    """

    mariadb: MariaDB
    redis: Redis
    webhook: Webhook
    folder: Path
    deployment: Deployment = field(init=False)
    today: dt.date = field(default_factory=lambda: dt.datetime.now(dt.UTC).date())

    def __post_init__(self) -> None:
        self.deployment = Deployment(self.folder / "ui", self.settings(self.redis, "lake"))

    def settings(self, redis: Redis, lake: str) -> dict[str, str]:
        return {
            "SNAPSHOT_SOURCE_URL": self.mariadb.url(),
            "SNAPSHOT_RSS_UNIT": "KiB",
            "SNAPSHOT_REDIS_URL": redis.url(),
            "SNAPSHOT_LAKE": str(self.folder / lake),
            "SNAPSHOT_LIVE_CRON": "* * * * *",
            "SNAPSHOT_SETTLE_CRON": NEVER,
            "SNAPSHOT_WATCH_INTERVAL": "1",
            "SNAPSHOT_LATE_DAYS": "4",  # of three, and one that ends while the tests run
            "SNAPSHOT_WEBHOOK_URL": self.webhook.url,
        }

    @property
    def source(self) -> ProcessSource:
        return ProcessSource(self.mariadb.url(), SourceTable(rss_unit="KiB"))

    @property
    def lake(self) -> Lake:
        return Lake(str(self.folder / "lake"))

    def day(self, ago: int) -> dt.date:
        return self.today - dt.timedelta(days=ago)

    def midnight(self, ago: int) -> int:
        return int(Window.of_day(self.day(ago)).start)

    def load_days(self, hosts: Sequence[str], first_ago: int, last_ago: int) -> None:
        """Rows of whole days, and some rows before and after them."""
        start, end = self.midnight(first_ago) - 3600, self.midnight(last_ago) + DAY_SECONDS + 3600
        rows = [r for i, h in enumerate(hosts) for r in busy_host(h, start, end, seed=i)]
        with self.source as source:
            load(source, rows, create=None)

    def documents(
        self, redis: Redis, hosts: Sequence[str], first_ago: int, last_ago: int
    ) -> dict[tuple[str, str], tuple[bytes, int]]:
        """Every byte of these hosts' documents, and when they expire."""
        days = [str(self.day(ago)) for ago in range(last_ago, first_ago + 1)]
        found: dict[tuple[str, str], tuple[bytes, int]] = {}
        with redis.client() as client:
            keys: Any = client.keys("20*")
            for key in sorted(keys):
                if key[:10].decode() in days:
                    held: Any = client.hmget(key, list(hosts))
                    expiry: Any = client.expiretime(key)
                    for host, body in zip(hosts, held, strict=True):
                        if body is not None:
                            found[key.decode(), host] = (body, expiry)
        return found

    def clean_run(
        self, redis: Redis, hosts: Sequence[str], first_ago: int, last_ago: int
    ) -> dict[tuple[str, str], tuple[bytes, int]]:
        """The same, after settling undisturbed into an empty Redis and an empty lake."""
        done = subprocess.run(
            [
                *(sys.executable, "-m", "snapshot_assets.cli", "settle"),
                *("--from", str(self.day(first_ago)), "--to", str(self.day(last_ago))),
                *(part for host in hosts for part in ("--host", host)),
            ],
            env={**os.environ, **self.settings(redis, "clean-lake")},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return self.documents(redis, hosts, first_ago, last_ago)

    def settled(self, hosts: Sequence[str], ago: int) -> bool:
        """Whether the lake has that day of all these hosts, and Redis the day's last document."""
        have = {entry.host for entry in self.lake.entries(AGGREGATES, self.day(ago))}
        return have >= set(hosts) and len(self.documents(self.redis, hosts, ago, ago)) == 288 * len(
            hosts
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operation]:
    folder = tmp_path_factory.mktemp("site")
    with MariaDB(folder / "mariadb") as mariadb, Redis(folder / "redis") as redis:
        webhook = Webhook()
        made = Operation(mariadb, redis, webhook, folder)
        with made.source as source:
            execute(source, FIELD_TABLE)
        with made.deployment:
            yield made
        webhook.close()


def test_the_schedule_publishes_and_new_hosts_appear(site: Operation) -> None:
    deployment, now = site.deployment, int(time.time())
    with site.source as source:
        load(source, busy_host("newcomer", now - 1800, now), create=None)

    def published() -> bool:
        return bool(site.documents(site.redis, ["newcomer"], 1, TOMORROW))

    deployment.wait("the live path", published)
    deployment.wait("its partition", lambda: "newcomer" in deployment.hosts())
    (run, *_) = deployment.runs("live")
    assert (
        deployment.wait("the end of the run", lambda: deployment.ended(run["runId"])) == "SUCCESS"
    )
    assert deployment.checks("live_snapshots")["live_rows_match_schema"]["success"]
    held = site.documents(site.redis, ["newcomer"], 1, TOMORROW)
    assert all(b'"stage":"live"' in body for body, _ in held.values())
    assert len(held) in (6, 7), "half an hour"


def test_a_backfill_keeps_a_bad_host_day_visible_and_the_others_done(
    site: Operation, redis_server: Redis
) -> None:
    deployment, hosts = site.deployment, ["fill-a", "fill-b", "fill|c"]
    site.load_days(hosts, 9, 7)
    bad = HostDay(site.day(8), "fill-b")
    broken = "UPDATE processes SET cputimes = :v WHERE host = 'fill-b' AND pid = 9 AND {}"
    within = (
        f"snapshot_time_epoch BETWEEN {site.midnight(8) + 7200} AND {site.midnight(8) + 43_200}"
    )
    with site.source as source:
        execute(source, broken.format(within), v=-5)
    deployment.add_hosts(hosts)
    wanted = [HostDay(site.day(ago), host) for ago in (9, 8, 7) for host in hosts]
    backfill = deployment.backfill(ASSETS, wanted)
    deployment.wait("the backfill", lambda: "COMPLETED" in deployment.backfill_status(backfill))
    assert deployment.backfill_status(backfill) == "COMPLETED_FAILED"
    runs = deployment.runs(**{"dagster/backfill": backfill})
    assert len(runs) == 3, "a run for each day, not for each host-day"
    with deployment.instance() as instance:
        for asset in ASSETS:
            done = instance.get_materialized_partitions(dg.AssetKey(asset))
            assert {dagster_key(p) for p in wanted} - done == {dagster_key(bad)}
    assert deployment.partition_counts("redis_snapshots")["numFailed"] == 1
    messages = deployment.wait(
        "the webhook", lambda: [m for m in site.webhook.messages if m["assets"]]
    )
    assert set(messages[0]["assets"]) == set(ASSETS)
    assert str(bad) in messages[0]["error"]
    assert "cputimes" in messages[0]["error"]
    assert "/runs/" in messages[0]["link"]
    for secret in ("p@ss", "w%23rd", "s3cret"):
        assert secret not in json.dumps(messages)

    with site.source as source:
        execute(source, broken.format(within), v=0)
    again = deployment.settle(bad.day, bad.day, [bad.host])
    assert deployment.wait("the rest", lambda: deployment.ended(again)) == "SUCCESS"
    assert site.documents(site.redis, hosts, 9, 7) == site.clean_run(redis_server, hosts, 9, 7)
    checks = deployment.checks("redis_snapshots")
    assert set(checks) == {
        "documents_sum_up",
        "frames_agree_with_documents",
        "redis_holds_what_it_should",
        "cpu_seconds_equal_source",
        "settings_are_current",
    }
    assert all(check["success"] for check in checks.values())
    proof = checks["cpu_seconds_equal_source"]["metadata"]
    assert proof["partitions_match"] == 1
    assert proof["cpu_core_seconds_redis"] == pytest.approx(proof["cpu_core_seconds_source"])
    assert deployment.checks("five_minute_aggregates")["ledger_balances"]["success"]


def test_missed_nights_and_late_rows_are_settled_by_themselves(
    site: Operation, redis_server: Redis
) -> None:
    deployment, hosts = site.deployment, ["late-a", "late-b"]
    site.load_days(hosts, 3, 2)
    deployment.wait("days that no night settled", lambda: site.settled(hosts, 3))
    deployment.wait("the other of them", lambda: site.settled(hosts, 2))
    untouched = Path(site.lake.path(RAW_ROWS, site.day(3), "late-a"))
    changed_at = untouched.stat().st_mtime_ns
    noon = site.midnight(3) + 43_200
    late = [
        row("late-b", noon + 300 * i + 150, 77, username="zoe", comm="late", cputimes=300 * i)
        for i in range(4)
    ]
    with site.source as source:
        load(source, late, create=None)

    def counted() -> bool:
        held = site.documents(site.redis, ["late-b"], 3, 3)
        return any(b'"zoe"' in body for body, _ in held.values())

    deployment.wait("the late rows", counted)
    run = deployment.runs("settle", **{"snapshot_assets/reason": "late"})[0]
    assert deployment.wait("its end", lambda: deployment.ended(run["runId"])) == "SUCCESS"
    assert site.documents(site.redis, hosts, 3, 2) == site.clean_run(redis_server, hosts, 3, 2)
    assert untouched.stat().st_mtime_ns == changed_at, "only changed host-days are settled again"


def test_mariadb_killed_during_a_run(site: Operation, redis_server: Redis) -> None:
    deployment, hosts = site.deployment, ["maria-a", "maria-b"]
    site.load_days(hosts, 13, 12)
    deployment.add_hosts(hosts)
    with site.mariadb.connect("monitoring") as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES processes WRITE")  # the run's read waits for it
        run = deployment.settle(site.day(13), site.day(12), hosts)

        deployment.wait("the run's step", lambda: deployment.events(run, "STEP_START"))
        time.sleep(1)
        site.mariadb.kill(signal.SIGKILL)
    deployment.wait("another try", lambda: deployment.events(run, "STEP_UP_FOR_RETRY"))
    site.mariadb.start()
    assert deployment.wait("the run's end", lambda: deployment.ended(run)) == "SUCCESS"
    assert site.documents(site.redis, hosts, 13, 12) == site.clean_run(redis_server, hosts, 13, 12)


def test_redis_killed_during_a_write_and_lost(site: Operation, redis_server: Redis) -> None:
    deployment, hosts = site.deployment, [f"redis-{i}" for i in range(6)]
    site.load_days(hosts, 18, 15)
    deployment.add_hosts(hosts)
    others = site.documents(site.redis, ["fill-a"], 9, 7)
    assert others
    run = deployment.settle(site.day(18), site.day(15), hosts)
    with site.redis.client() as client:
        first = f"{site.day(18)}T00:00:00+00:00"
        deployment.wait("the first write", lambda: client.exists(first), pause=0.001)
    site.redis.kill(signal.SIGKILL)
    time.sleep(1)
    assert deployment.ended(run) is None, "Dagster tries it again"
    site.redis.start()  # without persistence: everything is gone
    assert deployment.wait("the run's end", lambda: deployment.ended(run)) == "SUCCESS"
    deployment.wait("the restoration", lambda: _complete(site))
    assert site.documents(site.redis, hosts, 18, 15) == site.clean_run(redis_server, hosts, 18, 15)
    assert site.documents(site.redis, ["fill-a"], 9, 7) == others


def test_a_lost_redis_is_rebuilt_from_the_lake_without_the_source(site: Operation) -> None:
    deployment, hosts = site.deployment, ["lake-a", "lake-b"]
    site.load_days(hosts, 6, 6)
    deployment.add_hosts(hosts)
    run = deployment.settle(site.day(6), site.day(6), hosts)
    assert deployment.wait("the run's end", lambda: deployment.ended(run)) == "SUCCESS"
    now = int(time.time())
    with site.source as source:
        load(source, busy_host("present", now - 1800, now), create=None)
        purged = "DELETE FROM processes WHERE snapshot_time_epoch < :t"
        execute(source, purged, t=site.midnight(0) - 7200)
    settled = site.documents(site.redis, hosts, 6, 6)
    assert len(settled) == 2 * 288
    deployment.launch("live")
    deployment.wait("today", lambda: site.documents(site.redis, ["present"], 1, TOMORROW))
    site.redis.kill(signal.SIGKILL)
    site.redis.start()
    assert not site.documents(site.redis, hosts, 6, 6)
    deployment.wait("the restoration", lambda: _complete(site), seconds=60)
    assert site.documents(site.redis, hosts, 6, 6) == settled
    deployment.wait("today once more", lambda: site.documents(site.redis, ["present"], 1, TOMORROW))


def _complete(site: Operation) -> bool:
    with site.redis.client() as client:
        return bool(client.hexists("snapshot_assets:state", COMPLETE))
