"""The test servers themselves: a helper that does less than it says proves nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from snapshot_assets_tests.support.proxies import CuttingProxy, MuteServer, TrickleProxy
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.topologies import (
    SLOTS,
    ClusterSetup,
    SentinelSetup,
    TlsRedis,
    Valkey,
)

PASSWORD = "p@ss:/w#rd"
NO_RETRY = Retry(NoBackoff(), 0)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterSetup]:
    with ClusterSetup(tmp_path_factory.mktemp("cluster"), password=PASSWORD) as setup:
        yield setup


def direct(port: int, *, timeout: float = 5, password: str | None = None) -> redis.Redis:
    """A client that shows each failure: no retries, no greetings before the first command."""
    return redis.Redis(
        port=port,
        password=password,
        socket_timeout=timeout,
        retry=NO_RETRY,
        protocol=2,
        driver_info=None,
    )


def test_valkey_is_no_redis(tmp_path: Path) -> None:
    with Valkey(tmp_path, password=PASSWORD) as server:
        with server.client() as client:
            assert client.info("server")["server_name"] == "valkey"
        with redis.Redis.from_url(server.url(3)) as client:
            assert client.ping()
        with (
            redis.Redis(port=server.port, retry=NO_RETRY) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_tls_needs_the_authority(tmp_path: Path) -> None:
    with TlsRedis(tmp_path, password=PASSWORD) as server:
        with redis.Redis.from_url(server.tls_url()) as client:
            assert client.ping()
        with (
            redis.Redis.from_url(server.tls_url(trusted=False), retry=NO_RETRY) as stranger,
            pytest.raises(redis.ConnectionError, match=r"(?i)certificate"),
        ):
            stranger.ping()


def test_a_fail_over_moves_the_primary_and_the_killed_one_follows(tmp_path: Path) -> None:
    ours = psutil.Process()
    before = set(ours.children(recursive=True))
    with SentinelSetup(tmp_path, password=PASSWORD, sentinel_password="other") as setup:
        assert len(set(ours.children(recursive=True)) - before) == 12, "six, each with its leash"
        old = setup.primary
        with old.client() as client:
            client.set("kept", "yes")
            assert client.wait(2, 5_000) == 2
        new = setup.fail_over()
        assert new is setup.primary
        assert new is not old
        assert {setup.named_primary(sentinel) for sentinel in setup.sentinels} == {new.port}
        with new.client() as client:
            assert client.get("kept") == b"yes"
        old.start()
        with new.client() as client:
            client.set("after", "yes")
            assert client.wait(2, 10_000) == 2
        with old.client() as client:
            assert client.get("after") == b"yes"
        with old.client() as client, pytest.raises(redis.ReadOnlyError):
            client.set("x", "y")
    assert set(ours.children(recursive=True)) <= before


def test_a_cluster_has_three_masters_that_refuse_each_others_keys(cluster: ClusterSetup) -> None:
    with cluster.nodes[0].client() as client:
        shards = client.execute_command("CLUSTER SLOTS")
    assert len(shards) == 3
    assert len({cluster.owner(slot).port for slot in (0, SLOTS // 2, SLOTS - 1)}) == 3
    right = cluster.owner_of("key")
    for node in cluster.nodes:
        with node.client() as client:
            if node is right:
                assert client.set("key", "value")
            else:
                with pytest.raises(redis.exceptions.MovedError) as caught:
                    client.set("key", "value")
                assert caught.value.port == right.port


def test_a_killed_node_comes_back_with_its_data(cluster: ClusterSetup) -> None:
    node = cluster.owner_of("durable")
    with node.client() as client:
        client.set("durable", "yes")
        born = client.info("server")["run_id"]
    cluster.kill_and_restart(node)
    with node.client() as client:
        assert client.info("server")["run_id"] != born
        assert client.get("durable") == b"yes"


def test_a_slot_moves_with_its_keys(cluster: ClusterSetup) -> None:
    old, slot = cluster.owner_of("{tag}"), 8338
    assert cluster.owner(slot) is old
    new = next(node for node in cluster.nodes if node is not old)
    with old.client() as before, new.client() as after:
        before.set("{tag}here", "1")
        with cluster.migrating(slot, new):
            assert before.get("{tag}here") == b"1"
            with pytest.raises(redis.exceptions.AskError) as asked:
                before.get("{tag}missing")
            assert asked.value.port == new.port
        with pytest.raises(redis.exceptions.MovedError):
            before.get("{tag}here")
        assert after.get("{tag}here") == b"1"
    assert cluster.owner(slot) is new


def test_answers_are_cut_at_the_byte(redis_server: Redis) -> None:
    with redis_server.client() as client:
        client.set("key", "x" * 10_000)
    whole = len(b"$10000\r\n") + 10_000 + 2
    with CuttingProxy(redis_server.port, [0, whole - 1, whole]) as proxy:
        for _ in range(2):
            with (
                direct(proxy.port) as client,
                pytest.raises(redis.ConnectionError, match="closed"),
            ):
                client.get("key")
        for _ in range(2):
            with direct(proxy.port) as client:
                assert client.get("key") == b"x" * 10_000
        assert proxy.accepted == 4


def test_requests_are_cut_at_the_byte(redis_server: Redis) -> None:
    """The server does what reached it whole, and no more."""
    one = len(b"*3\r\n$3\r\nSET\r\n$4\r\nk000\r\n$1\r\nv\r\n")
    for cut in (0, one - 1, one, 37 * one, 38 * one - 1):
        with (
            redis_server.client() as observer,
            CuttingProxy(redis_server.port, request_cuts=[cut]) as proxy,
        ):
            observer.flushall()
            with direct(proxy.port) as client:
                pipeline = client.pipeline(transaction=False)
                for i in range(100):
                    pipeline.set(f"k{i:03}", "v")
                with pytest.raises(redis.ConnectionError):
                    pipeline.execute()
            proxy.wait_for_end()
            assert observer.dbsize() == cut // one


def test_a_proxy_whose_server_is_gone_ends_its_clients_and_recovers(tmp_path: Path) -> None:
    with Redis(tmp_path) as server, CuttingProxy(server.port) as proxy:
        server.kill(signal.SIGKILL)
        with direct(proxy.port) as client, pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        with direct(proxy.port) as client:
            assert client.ping()


def test_a_mute_server_accepts_and_never_answers() -> None:
    with MuteServer() as mute:
        with direct(mute.port, timeout=0.2) as client, pytest.raises(redis.TimeoutError):
            client.ping()
        assert mute.accepted == 1


def test_a_trickle_evades_the_timeout_of_each_read(redis_server: Redis) -> None:
    with TrickleProxy(redis_server.port, 0.1) as proxy:
        began = time.monotonic()
        with direct(proxy.port, timeout=0.3) as client:
            assert client.ping()
        assert time.monotonic() - began > 7 * 0.1
        began = time.monotonic()
        with direct(proxy.port, timeout=0.05) as client, pytest.raises(redis.TimeoutError):
            client.ping()
        assert time.monotonic() - began < 0.3
