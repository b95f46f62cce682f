"""A cluster of three: the answers of a single server, whatever slots and nodes do meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.crc import key_slot

from snapshot_assets.errors import StoreOutageError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.store.servers.test_servers_and_users import HOSTILE, require_hostile
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.domain.process_rows import GB, MIDNIGHT, NOON, Row
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import (
    InOneLoop,
    answers,
    both_readers,
    busy,
    round_trip,
    used,
)
from snapshot_assets_tests.support.topologies import ClusterSetup

HOSTS = ["alice", "bob", "carol", "dave"]
PASSWORD = "hunter2"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    with ClusterSetup(tmp_path_factory.mktemp("cluster"), password=PASSWORD) as setup:
        yield setup


@pytest.fixture
def cluster(started: ClusterSetup) -> ClusterSetup:
    """An empty one."""
    for node in started.nodes:
        with node.client() as client:
            client.flushall()
    return started


def url_of(cluster: ClusterSetup) -> str:
    nodes = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
    return f"redis+cluster://:{PASSWORD}@{nodes}"


def contents(cluster: ClusterSetup) -> dict[bytes, tuple[int, Any]]:
    found: dict[bytes, tuple[int, Any]] = {}
    for node in cluster.nodes:
        found |= node.contents()
    return dict(sorted(found.items()))


def usage_of(*hosts: str) -> Any:
    return used(*(row for i, host in enumerate(hosts) for row in busy(host, i + 1.0)))


def fill(cluster: ClusterSetup) -> None:
    with RedisWriter(url=url_of(cluster), clock=lambda: ex.NOW) as writer:
        writer.replace(HOSTS, ex.WINDOW, usage_of(*HOSTS), "settled")


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_answers_are_those_of_a_single_server(
    cluster: ClusterSetup, redis_server: Redis, protocol: int
) -> None:
    expected = round_trip({"port": redis_server.port})
    assert round_trip({"url": url_of(cluster), "protocol": protocol}) == expected
    assert contents(cluster) == redis_server.contents()
    with RedisWriter(url=url_of(cluster), clock=lambda: ex.NOW) as writer:
        writer.base.ping()
        assert writer.progress().complete is False
        writer.record_live(ex.NOW, {"alice": ex.NOW}, writer.begin_live())
        assert writer.progress().newest_epoch == {"alice": ex.NOW}
        used_bytes = [
            RedisWriter(url=node.url()).base.memory().used_bytes for node in cluster.nodes
        ]
        assert writer.base.memory().used_bytes > sum(used_bytes) / 2
        writer.remove_all(ex.WINDOW)
    assert contents(cluster) == {}


def test_records_of_settled_days_lie_on_other_nodes_and_are_kept(cluster: ClusterSetup) -> None:
    """A record and its data have different slots, so no script could change both."""
    day = ex.WINDOW.start
    with (
        RedisWriter(url=url_of(cluster), clock=lambda: ex.NOW) as writer,
        RedisReader(url=url_of(cluster), clock=lambda: ex.NOW) as reader,
    ):
        slots = {key_slot(writer.keys.frame(host, day).encode()) for host in HOSTS}
        assert key_slot(writer.keys.records(day).encode()) not in slots
        writer.replace(HOSTS, ex.WINDOW, usage_of(*HOSTS), "settled", record="made")
        assert reader.records([day]) == {day: dict.fromkeys(HOSTS, "made")}
        writer.replace(["bob"], ex.WINDOW, usage_of("bob"), "settled")
        assert "bob" not in reader.records([day])[day]
        writer.remove_all(ex.WINDOW)
    assert contents(cluster) == {}


def test_hostile_names_round_trip_and_keep_their_slots(cluster: ClusterSetup) -> None:
    """All keys of a host's frames lie in one slot, or the cluster would refuse the script."""
    rows = [
        Row(host, NOON + t, 7, 'u"\\\n', "</script>\u2028", t * (i + 1), GB)
        for i, host in enumerate(HOSTILE)
        for t in (0, 300)
    ]
    require_hostile({"url": url_of(cluster)}, rows)
    keys = RedisReader(url=url_of(cluster)).keys
    slots = set()
    for host in HOSTILE:
        ours = [keys.frame(host, MIDNIGHT), keys.frame(host, MIDNIGHT - 86_400)]
        ours += [keys.summary(host, "hour", MIDNIGHT), keys.summary(host, "day", MIDNIGHT)]
        (slot,) = {key_slot(key.encode()) for key in ours}
        slots.add(slot)
    assert len(slots) > len(HOSTILE) / 2, "hosts are spread"


@contextmanager
def connected(
    cluster: ClusterSetup, kind: type[RedisReader | InOneLoop]
) -> Iterator[tuple[RedisReader | InOneLoop, RedisWriter]]:
    """A reader and a writer that know where the cluster's slots are."""
    with (
        kind(url=url_of(cluster), clock=lambda: ex.NOW) as reader,
        RedisWriter(url=url_of(cluster), clock=lambda: ex.NOW) as writer,
    ):
        reader.hosts()
        writer.base.ping()
        yield reader, writer


@both_readers
@pytest.mark.parametrize("halfway", [False, True], ids=["MOVED", "ASK"])
def test_a_slot_that_moves_meanwhile_is_followed(
    cluster: ClusterSetup, kind: type[RedisReader | InOneLoop], halfway: bool
) -> None:
    """Both the reader and the writer knew the slot elsewhere."""
    fill(cluster)
    expected = contents(cluster)
    with connected(cluster, kind) as (reader, writer):
        seen = answers(reader, HOSTS)
        for key in (
            writer.keys.frame("alice", MIDNIGHT),
            writer.keys.document(NOON),
            writer.keys.hosts_of_day(MIDNIGHT),
        ):
            slot = key_slot(key.encode())
            source = cluster.owner(slot)
            to = next(node for node in cluster.nodes if node is not source)
            if halfway:
                with cluster.migrating(slot, to):
                    cluster.move_keys(slot, source, to, 1)
                    assert answers(reader, HOSTS) == seen
                    cluster.move_keys(slot, source, to)
                    assert answers(reader, HOSTS) == seen
                    writer.replace(HOSTS, ex.WINDOW, usage_of(*HOSTS), "settled")
            else:
                cluster.migrate_slot(slot, to)
            assert answers(reader, HOSTS) == seen
            writer.replace(HOSTS, ex.WINDOW, usage_of(*HOSTS), "settled")
            assert contents(cluster) == expected


@both_readers
def test_a_node_that_is_killed_and_back_is_used_again(
    cluster: ClusterSetup, kind: type[RedisReader | InOneLoop]
) -> None:
    fill(cluster)
    expected = contents(cluster)
    with connected(cluster, kind) as (reader, writer):
        seen = answers(reader, HOSTS)
        for node in cluster.nodes:
            node.kill(signal.SIGKILL)
            start = time.monotonic()
            with pytest.raises(StoreOutageError) as caught:
                reader.get_data(None)
            assert time.monotonic() - start < 4
            assert PASSWORD not in str(caught.value)
            node.start()
            cluster.wait_until_ok()
            assert answers(reader, HOSTS) == seen
            writer.replace(HOSTS, ex.WINDOW, usage_of(*HOSTS), "settled")
            assert contents(cluster) == expected


@both_readers
def test_a_mute_node_is_told_within_a_bound(
    cluster: ClusterSetup, kind: type[RedisReader | InOneLoop]
) -> None:
    """Two tries of 0.9 s, and the nodes looked up in between."""
    fill(cluster)
    for index in range(3):
        with kind(url=url_of(cluster), clock=lambda: ex.NOW) as known:
            seen = answers(known, HOSTS)
            with cluster.nodes[index].paused():
                for reader in (known, kind(url=url_of(cluster), clock=lambda: ex.NOW)):
                    start = time.monotonic()
                    with pytest.raises(StoreOutageError):
                        reader.get_data(None)
                    assert time.monotonic() - start < 5, (index, reader is known)
                    if reader is not known:
                        reader.__exit__()
            cluster.wait_until_ok()
            assert answers(known, HOSTS) == seen
