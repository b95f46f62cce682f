"""Hosts whose rows come late: they are published live, at the cost of what is new, and named."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from snapshot_assets.domain.sampling import state_of
from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.pipeline.lagging import lagging
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.source.query import ProcessSource, Tally
from snapshot_assets_tests.pipeline.test_live import MARGIN, LiveTicks, add, site, until
from snapshot_assets_tests.support.field_table import MIDNIGHT

__all__ = ["site"]

HOUR = 3_600


def ticks_with_delay(site: LiveTicks, delay: dict[str, int], first: int, last: int) -> None:
    """Refreshes every five minutes; the rows of each host come so many seconds late."""
    for host, seconds in delay.items():
        add(site, *until(host, MIDNIGHT, first - seconds))
    site.tick(first)
    for now in range(first + 300, last + 1, 300):
        for host, seconds in delay.items():
            add(site, *until(host, now - 300 - seconds, now - seconds))
        site.tick(now)


@pytest.mark.parametrize("minutes", [46, 60, 150, 600])
def test_a_host_that_is_behind_is_published_when_its_rows_come(
    site: LiveTicks, minutes: int
) -> None:
    behind = minutes * 60
    first = MIDNIGHT + behind + 2 * HOUR
    last = first + max(2 * HOUR, behind // 2) // 300 * 300
    ticks_with_delay(site, {"alice": 0, "bob": behind}, first, last)
    of_bob = [bucket for bucket, found in site.documents().items() if "bob" in found]
    # It is looked for within an eighth of what it is behind.
    assert max(of_bob) >= bucket_iso(last - behind - behind // 8 - 600)
    expected = site.expected(MIDNIGHT - HOUR, last)
    for bucket in of_bob[:-1]:
        assert site.documents()[bucket]["bob"] == expected[bucket]["bob"]
    assert of_bob == sorted(b for b in expected if "bob" in expected[b])[: len(of_bob)]


def test_a_replica_that_lags_is_published_too(site: LiveTicks) -> None:
    first = MIDNIGHT + 4 * HOUR
    ticks_with_delay(site, {"alice": 2 * HOUR, "bob": 2 * HOUR}, first, first + HOUR)
    newest = max(site.documents())
    assert newest >= bucket_iso(first + HOUR - 2 * HOUR - 900 - 600)
    assert set(site.documents()[newest]) == {"alice", "bob"}


def test_the_cost_is_that_of_new_rows(site: LiveTicks) -> None:
    """A host that brings nothing is not read; one that does is read from its newest row on."""
    behind = 2 * HOUR
    first = MIDNIGHT + 6 * HOUR
    add(site, *until("gone", MIDNIGHT, MIDNIGHT + HOUR))
    ticks_with_delay(site, {"alice": 0, "bob": behind}, first, first + HOUR)
    for now in range(first + HOUR + 300, first + HOUR + 1_500, 300):
        add(site, *until("bob", now - 300 - behind, now - behind))
        report = site.tick(now)
        extra = [read for read in site.source.reads if read[2] is not None]
        assert "gone" not in report.returned
        for start, _, hosts in extra:
            assert hosts == ["bob"]
            assert start >= now - behind - 1_200 - MARGIN - 300
        if not report.returned:
            assert not extra
    reports = [site.tick(first + HOUR + 1_800 + 300 * i) for i in range(4)]
    assert not any(report.returned for report in reports), "no new row, nothing is read"


def test_a_silent_host_is_looked_for_the_more_seldom_the_longer_it_is_silent(
    site: LiveTicks,
) -> None:
    add(site, *until("gone", MIDNIGHT, MIDNIGHT + 300))
    looks: list[int] = []

    class Counting(ProcessSource):
        def tally(self, *_: Any, **__: Any) -> dict[str, Tally]:
            looks.append(now)
            return {}

    counting = Counting("sqlite://")
    newest = float(MIDNIGHT)
    for now in range(MIDNIGHT + 300, MIDNIGHT + 40 * 86_400, 300):
        lagging(
            counting,
            {"gone": newest},
            oldest=now - 36 * HOUR,
            before=now - 2_400,
            now=now,
            last_look=now - 300,
        )
    waits = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert max(waits[:10]) <= 600
    for look, wait in zip(looks, waits, strict=False):
        assert wait <= max((look + wait - MIDNIGHT) / 8 + 300, 600)
    assert len(looks) < 150


def test_late_hosts_are_reported_with_their_age_and_others_are_not(site: LiveTicks) -> None:
    first = MIDNIGHT + 4 * HOUR
    ticks_with_delay(site, {"alice": 0, "bob": 46 * 60}, first, first + HOUR)
    now = first + HOUR + 300
    add(site, *until("alice", now - 300, now), *until("bob", now - 300 - 2_760, now - 2_760))
    report = site.tick(now)
    assert set(report.late) == {"bob"}
    assert 2_760 <= report.late["bob"] <= 2_760 + 300
    assert not site.tick(now + 300).late, "nothing new came"


@pytest.mark.parametrize(
    ("age", "waited", "state"),
    [
        (-61, 0, "ahead"),
        (-59, 0, "reporting"),
        (1_200, 1_200, "reporting"),
        (1_201, 0, "late"),
        (2_760, 300, "late"),
        (2_760, 1_546, "silent"),
        (86_400, 11_000, "late"),
        (86_400, 86_400, "silent"),
        (2_760, None, "silent"),
    ],
)
def test_a_host_is_late_only_while_its_rows_come(
    age: float, waited: float | None, state: str
) -> None:
    now = 1_800_000_000.0
    assert state_of(now, now - age, None if waited is None else now - waited, 1_200) == state


def test_a_retired_host_is_not_recorded_again_until_it_has_new_rows(site: LiveTicks) -> None:
    noon = MIDNIGHT + 12 * HOUR
    add(site, *until("alice", noon - HOUR, noon), *until("old", noon - HOUR, noon - 900))
    site.tick(noon)
    newest = until("old", noon - HOUR, noon - 900)[-1]["snapshot_time_epoch"]
    with RedisWriter(port=site.redis.port) as writer:
        writer.forget_hosts(["old"])
        report = site.tick(noon + 60, retired={"old": newest})
        assert report.hosts == ("alice",)
        assert not report.returned
        assert set(writer.progress().newest_epoch) == {"alice"}
        add(site, *until("old", noon - 900, noon))
        assert site.tick(noon + 120, retired={"old": newest}).hosts == ("alice", "old")
        assert set(writer.progress().newest_epoch) == {"alice", "old"}
