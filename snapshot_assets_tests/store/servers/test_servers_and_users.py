"""The same on each server and protocol, and as the users that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import redis

from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.errors import StoreError, StoreOutageError
from snapshot_assets.pipeline.census import disagreements
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.domain.process_rows import GB, MIDNIGHT, NOON, Row
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import round_trip, used, worked_example
from snapshot_assets_tests.support.topologies import Valkey

SERVERS = pytest.mark.parametrize("server", [Redis, Valkey], ids=["Redis", "Valkey"], indirect=True)
HOSTILE = ("a|b", "*", 'x"y\\', "Zoë 😀", "\x00\n", "{tag}", "}{", "{}", "a{b}c", "")
ADMIN = "user admin on >admin ~* &* +@all"


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Redis]:
    kind: type[Redis] = request.param
    with kind(tmp_path_factory.mktemp("server")) as started:
        yield started


@SERVERS
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_round_trip_is_the_same_everywhere(
    server: Redis, redis_server: Redis, protocol: int
) -> None:
    expected = round_trip({"port": redis_server.port})
    with server.client() as client:
        client.flushall()
    options: dict[str, Any] = {"port": server.port, "protocol": protocol}
    assert round_trip(options) == expected
    assert server.contents() == redis_server.contents()
    with RedisReader(clock=lambda: ex.NOW, **options) as reader:
        assert [disagreements(reader, host, ex.WINDOW) for host in ("alice", "bob")] == [
            [],
            [],
        ]
        held = reader.holdings([NOON])[NOON]
        assert held == (frozenset({"alice", "bob"}), reader.keys.document_expiry(NOON))
        frames = reader.frame_holdings(MIDNIGHT, ["alice", "bob", "nobody"])
        # Alice's 24 live buckets are newer than her day, and bob's hour that settled again.
        assert [frames[host].newer for host in frames] == [24, 12, 0]
        assert reader.base.memory().policy == "noeviction"


@SERVERS
def test_hostile_names_round_trip_in_frames(server: Redis) -> None:
    rows = [
        Row(host, NOON + t, 7, 'u"\\\n', "</script>\u2028", t * (i + 1), GB)
        for i, host in enumerate(HOSTILE)
        for t in (0, 300)
    ]
    require_hostile({"port": server.port}, rows)


def require_hostile(options: dict[str, Any], rows: list[Row]) -> None:
    """Each name is found in documents and frames, with its own numbers."""
    with RedisWriter(clock=lambda: ex.NOW, **options) as writer:
        writer.remove_all(ex.WINDOW)
        writer.replace(HOSTILE, ex.WINDOW, used(*rows), "settled")
    for kind in ex.READERS:
        with kind(clock=lambda: ex.NOW, **options) as reader:
            assert reader.hosts() == sorted(HOSTILE)
            for resolution in ("5min", "hour", "day"):
                frame = reader.get_frame(
                    HOSTILE,
                    ex.FIRST,
                    ex.END,
                    by=("username", "comm"),
                    resolution=resolution,
                )
                named = frame[frame["username"] != "(other)"]
                assert named["host"].tolist() == list(HOSTILE)
                assert set(named["username"]) == {'u"\\\n'}
                assert set(named["comm"]) == {"</script>\u2028"}
                cores = [float(i + 1) for i in range(len(HOSTILE))]
                assert named["cores_peak"].tolist() == pytest.approx(cores)


# --- users --------------------------------------------------------------------------------------


@contextmanager
def with_users(folder: Path, kind: type[Redis], prefix: str = "") -> Iterator[Redis]:
    """A server with the shipped users, their passwords and an administrator."""
    text = (files("snapshot_assets.deploy") / "redis-users.acl").read_text()
    assert text.count("resetpass") == 2, "nobody logs in with what is shipped"
    for name in ("writer", "reader"):
        text = text.replace(
            f"snapshot_{name} on resetpass", f"snapshot_{name} on >{name}'s-password"
        )
    text = text.replace("~????", f"~{prefix}????").replace("~snap", f"~{prefix}snap")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "users.acl"
    file.write_text(f"{text}{ADMIN}\n")
    with kind(folder, ["--aclfile", str(file)]) as server:
        yield server


def as_user(server: Redis, name: str) -> dict[str, Any]:
    return {
        "port": server.port,
        "username": f"snapshot_{name}",
        "password": f"{name}'s-password",
    }


def admin(server: Redis) -> redis.Redis:
    return redis.Redis(port=server.port, username="admin", password="admin")


@pytest.mark.parametrize("kind", [Redis, Valkey])
@pytest.mark.parametrize("prefix", ["", "site:"])
def test_the_users_can_do_what_they_have_to(
    tmp_path: Path, kind: type[Redis], prefix: str, redis_server: Redis
) -> None:
    """The writer everything, the census included; the reader what it is asked."""
    expected = round_trip({"port": redis_server.port, "prefix": prefix})
    with with_users(tmp_path, kind, prefix) as server:
        writes = {**as_user(server, "writer"), "prefix": prefix}
        reads = {**as_user(server, "reader"), "prefix": prefix}
        assert round_trip(writes) == expected
        for options in (writes, reads):
            with RedisReader(clock=lambda: ex.NOW, **options) as reader:
                reader.base.ping()
                assert reader.progress().complete is False
                assert reader.base.memory().used_bytes > 0
                assert reader.holdings([NOON])[NOON].hosts == {"alice", "bob"}
                assert reader.frame_holdings(MIDNIGHT, ["alice"])["alice"].summaries is False
                assert disagreements(reader, "alice", ex.WINDOW) == []
        for kind_of_reader in ex.READERS:
            with kind_of_reader(clock=lambda: ex.NOW, **reads) as one:
                assert one.hosts() == ["alice", "bob"]
                assert one.last_update() is not None
                assert len(one.get_frame(resolution="hour")) > 0
        with RedisWriter(clock=lambda: ex.NOW, **writes) as writer:
            filling = writer.begin_live()
            writer.record_live(ex.NOW, {"alice": ex.NOW}, filling)
            with writer.restoring():
                writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
            assert writer.progress().complete
            assert writer.progress().newest_epoch == {"alice": ex.NOW}
            writer.record_complete(False)
            writer.remove_all(ex.WINDOW)
        with admin(server) as client:
            assert client.dbsize() == 0
            assert client.acl_log() == [] or {e["object"] for e in client.acl_log()} <= {
                "client|setinfo"
            }, "nothing was refused but a courtesy"


@pytest.mark.parametrize("kind", [Redis, Valkey])
def test_the_users_can_do_nothing_else(tmp_path: Path, kind: type[Redis]) -> None:
    ours, foreign = bucket_iso(NOON), "accounts"
    with with_users(tmp_path, kind) as server, admin(server) as client:
        client.response_callbacks.clear()  # they know COMMAND LIST and ACL DRYRUN badly
        client.hset(foreign, "alice", "secret")
        writing = client.execute_command("COMMAND", "LIST", "FILTERBY", "ACLCAT", "write")
        assert len(writing) > 80
        for name in (raw.decode() for raw in writing):
            assert _refused(client, "reader", name, ours), name
        searching = ["keys", "scan", "config|get", "flushall", "flushdb", "eval", "script|load"]
        searching += ["function|load", "debug", "shutdown", "acl|list", "monitor", "dbsize"]
        for name in searching:
            assert _refused(client, "reader", name, ours), name
            assert name == "eval" or _refused(client, "writer", name, ours), name
        for name in ("reader", "writer"):
            for read in ("hget", "hgetall", "exists", "smembers", "expiretime"):
                assert _refused(client, name, read, foreign)
                assert not _refused(client, name, read, ours)
        for name in ("hset", "del", "expireat", "sadd"):
            assert _refused(client, "writer", name, foreign)
        with RedisWriter(clock=lambda: ex.NOW, **as_user(server, "reader")) as writer:
            before = client.dbsize()
            with pytest.raises(StoreError, match="the user may not do this") as caught:
                writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
            assert not isinstance(caught.value, StoreOutageError)
            assert client.dbsize() == before
        with redis.Redis(**as_user(server, "writer")) as other:
            script = "return redis.call('HGET', KEYS[1], 'alice')"
            with pytest.raises(redis.ResponseError):
                other.eval(script, 1, foreign)
            hidden = "return redis.call('HGET', 'accounts', 'alice')"
            with pytest.raises(redis.ResponseError):
                other.eval(hidden, 1, ours)
        with (
            RedisReader(port=server.port) as nobody,
            pytest.raises(StoreError, match="rejects the user"),
        ):
            nobody.hosts()


def _refused(client: redis.Redis, user: str, name: str, key: str) -> bool:
    """Whether a user may not run this command on this key."""
    command = name.split("|")
    ((_, arity, *_),) = client.execute_command("COMMAND", "INFO", name)
    count = arity - len(command) if arity > 0 else max(-arity - len(command), 1)
    arguments = [key, *["1"] * count][:count]
    if name.startswith(("eval", "fcall")):
        arguments = ["return 1", "1", key]
    told = client.execute_command("ACL", "DRYRUN", f"snapshot_{user}", *command, *arguments)
    assert told == b"OK" or b"no permissions" in told, told
    return told != b"OK"
