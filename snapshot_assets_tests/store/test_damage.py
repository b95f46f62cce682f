"""Bytes in Redis that are not what was written: told with the key, never taken for something."""

from __future__ import annotations

import resource
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from snapshot_assets.errors import StoreError, StoreOutageError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.layout import COVERED, WHOLE_DAY
from snapshot_assets.store.packing.buckets import BUCKET_VERSION
from snapshot_assets.store.packing.damage import PackingError
from snapshot_assets.store.packing.days import DAY_VERSION, unpack_day
from snapshot_assets.store.packing.summaries import SUMMARY_VERSION
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.domain.process_rows import MIDNIGHT, minutes
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import (
    InOneLoop,
    both_readers,
    busy,
    exact,
    used,
    worked_example,
)

MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def damages(draw: st.DrawFn) -> tuple[str, float, bytes]:
    """Where, as a share of the text, and what: flipped, cut off, or put in."""
    how = draw(st.sampled_from(["flip", "truncate", "insert", "replace"]))
    return how, draw(st.floats(0, 1, exclude_max=True)), draw(st.binary(min_size=1, max_size=8))


def damaged(text: bytes, damage: tuple[str, float, bytes]) -> bytes:
    how, share, other = damage
    at = int(share * len(text))
    if how == "truncate":
        return text[:at]
    if how == "insert":
        return text[:at] + other + text[at:]
    if how == "replace":
        return other
    flipped = bytes([text[at] ^ (other[0] or 1)]) if text else b""
    return text[:at] + flipped + text[at + 1 :]


@pytest.fixture(scope="module")
def kept(redis_process: Redis) -> dict[str, dict[bytes, bytes]]:
    """Every hash of a host that has a settled day, an hour settled again, and a live end."""
    with redis_process.client() as client:
        client.flushall()
        with RedisWriter(port=redis_process.port, clock=lambda: ex.NOW) as writer:
            writer.replace(["alice"], ex.WINDOW, used(*busy("alice", 0.5, 24, 2)), "settled")
            rows = {str(key): client.hgetall(key) for key in _summaries(writer)}
            hour = minutes("09:00", "10:00")
            writer.replace(
                ["alice"], hour, used(*busy("alice", 1.0, 24, 2), window=hour), "settled"
            )
            live = used(*busy("alice", 0.5, 30, 2), stage="live")
            writer.replace(["alice"], ex.WINDOW, live, "live")
            rows[writer.keys.frame("alice", MIDNIGHT)] = client.hgetall(
                writer.keys.frame("alice", MIDNIGHT)
            )
            first = writer.keys.document(MIDNIGHT + 9 * 3600)
            rows[first] = client.hgetall(first)
    assert len(rows) == 4
    assert all(rows.values())
    return rows


def _summaries(writer: RedisWriter) -> list[str]:
    return [
        writer.keys.summary("alice", "hour", MIDNIGHT),
        writer.keys.summary("alice", "day", MIDNIGHT),
    ]


@pytest.fixture
def readers(
    redis_server: Redis, kept: dict[str, dict[bytes, bytes]]
) -> Iterator[list[RedisReader | InOneLoop]]:
    with redis_server.client() as client:
        for key, fields in kept.items():
            for field, text in fields.items():
                client.hset(key, field, text)
    opened = [kind(port=redis_server.port, clock=lambda: ex.NOW) for kind in ex.READERS]
    yield opened
    for one in opened:
        one.__exit__()


def _put(server: Redis, key: str, field: bytes, text: bytes) -> None:
    with server.client() as client:
        client.hset(key, field, text)


def _said(key: str, ask: Callable[[], object]) -> str:
    """What is said of a key when this is asked; nothing if there is an answer."""
    try:
        ask()
    except StoreOutageError:
        raise AssertionError("asking again would not help") from None
    except StoreError as error:
        said = str(error)
    else:
        return ""
    assert repr(key) in said
    return said


def _told(reader: RedisReader | InOneLoop, key: str, resolution: str) -> str:
    """What is said when the frames are read, in each way of asking for them."""
    said = ""
    for by in (None, "username", ("username", "comm")):
        ask = partial(reader.get_frame, "alice", ex.FIRST, ex.END, by=by, resolution=resolution)
        said = _said(key, ask) or said
    return said


@given(damage=damages(), data=st.data())
@MANY
def test_damaged_frames_are_told_with_their_key(
    readers: list[RedisReader | InOneLoop],
    redis_server: Redis,
    kept: dict[str, dict[bytes, bytes]],
    damage: tuple[str, float, bytes],
    data: st.DataObject,
) -> None:
    """Every byte of a day, of a bucket and of a summary is under its checksum.

    Only an empty bucket is not damage: it says that the bucket is gone.
    """
    places = [
        (key, field, text)
        for key, fields in kept.items()
        for field, text in fields.items()
        if ":" in key[:16] and key.startswith("snapshot_assets:") and field != COVERED.encode()
    ]
    key, field, text = data.draw(st.sampled_from(places))
    wrong = damaged(text, damage)
    resolution = next((name for name in ("hour", "day") if f":{name}:" in key), "5min")
    if wrong == text or (not wrong and field != WHOLE_DAY.encode() and resolution == "5min"):
        return
    _put(redis_server, key, field, wrong)
    try:
        for reader in readers:
            assert "cannot be read" in _told(reader, key, resolution)
    finally:
        _put(redis_server, key, field, text)


@given(damage=damages())
@example(damage=("replace", 0.0, b"{}"))
@example(damage=("replace", 0.0, b"\xff"))
@MANY
def test_damaged_documents_are_told_or_are_documents(
    readers: list[RedisReader | InOneLoop],
    redis_server: Redis,
    kept: dict[str, dict[bytes, bytes]],
    damage: tuple[str, float, bytes],
) -> None:
    """A digit that became another is still JSON; whatever is not, is told with the key."""
    key = next(key for key in kept if key.startswith("2026"))
    text = kept[key][b"alice"]
    _put(redis_server, key, b"alice", damaged(text, damage))
    try:
        for reader in readers:
            for host in ("alice", None):
                _said(key, partial(reader.get_data, host, ex.FIRST, ex.LAST))
    finally:
        _put(redis_server, key, b"alice", text)


@given(name=st.binary(max_size=12), text=st.binary(max_size=12))
@example(name=b"\xff", text=b"")
@example(name=b"12:00", text=b"")
@settings(MANY, max_examples=60)
def test_fields_of_somebody_else_are_told(
    readers: list[RedisReader | InOneLoop],
    redis_server: Redis,
    kept: dict[str, dict[bytes, bytes]],
    name: bytes,
    text: bytes,
) -> None:
    """A field that is no host's, or no bucket's, is never an exception of another kind."""
    for key, fields in kept.items():
        if name in fields:
            continue
        _put(redis_server, key, name, text)
        try:
            for reader in readers:
                _said(key, partial(reader.get_data, None, ex.FIRST, ex.LAST))
                _said(
                    key,
                    partial(reader.get_frame, "alice", ex.FIRST, ex.END, resolution="5min"),
                )
                _said(
                    key,
                    partial(reader.get_frame, "alice", ex.FIRST, ex.END, resolution="hour"),
                )
        finally:
            with redis_server.client() as client:
                client.hdel(key, name)


def test_other_numbers_and_names_of_somebody_else_are_told(redis_server: Redis) -> None:
    """The state, the newest snapshots, and the hosts of a day."""
    with (
        RedisWriter(port=redis_server.port, clock=lambda: ex.NOW) as writer,
        RedisReader(port=redis_server.port, clock=lambda: ex.NOW) as reader,
        redis_server.client() as client,
    ):
        for key, field, text in (
            (writer.keys.state, b"live_until", b"soon"),
            (writer.keys.newest_snapshots, b"alice", b"soon"),
            (writer.keys.newest_snapshots, b"\xff", b"1.0"),
        ):
            client.hset(key, field, text)
            with pytest.raises(StoreError, match="another program") as caught:
                writer.progress()
            assert repr(key) in str(caught.value)
            client.delete(key)
        index = writer.keys.hosts_of_day(MIDNIGHT)
        client.sadd(index, b"\xff")
        for ask in (reader.hosts, reader.get_frame, lambda: writer.remove_all(ex.WINDOW)):
            with pytest.raises(StoreError, match="another program") as caught:
                ask()
            assert repr(index) in str(caught.value)


@both_readers
def test_a_future_version_says_so(kind: type[RedisReader | InOneLoop], redis_server: Redis) -> None:
    with RedisWriter(port=redis_server.port, clock=lambda: ex.NOW) as writer:
        writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
        keys = writer.keys
    hour = minutes("12:00", "13:00")
    with (
        redis_server.client() as client,
        kind(port=redis_server.port, clock=lambda: ex.NOW) as reader,
    ):
        expected = exact(reader.get_frame("alice", ex.FIRST, ex.END, resolution="5min"))
        places: list[tuple[str, bytes, int, str]] = [
            (keys.frame("alice", MIDNIGHT), b"day", DAY_VERSION, "5min"),
            (keys.summary("alice", "hour", MIDNIGHT), b"22", SUMMARY_VERSION, "hour"),
            (keys.summary("alice", "day", MIDNIGHT), b"22", SUMMARY_VERSION, "day"),
        ]
        for key, field, newest, resolution in places:
            text: Any = client.hget(key, field)
            _put(redis_server, key, field, text[:4] + bytes([newest + 1]) + text[5:])
            said = _told(reader, key, resolution)
            assert f"version '{newest + 1}', this snapshot_assets reads 1 to {newest};" in said
            _put(redis_server, key, field, text)
        assert exact(reader.get_frame("alice", ex.FIRST, ex.END, resolution="5min")) == expected
        with RedisWriter(port=redis_server.port, clock=lambda: ex.NOW) as writer:
            writer.replace(["alice"], hour, used(*worked_example(), window=hour), "settled")
        key = keys.frame("alice", MIDNIGHT)
        text = client.hget(key, "12:00")
        _put(redis_server, key, b"12:00", text[:1] + b"%d" % (BUCKET_VERSION + 1) + text[2:])
        assert f"version '{BUCKET_VERSION + 1}'" in _told(reader, key, "5min")


def test_a_size_that_is_claimed_is_not_believed(redis_server: Redis) -> None:
    """A section that says it has 4 GB, with a right checksum, takes no memory."""
    with RedisWriter(port=redis_server.port, clock=lambda: ex.NOW) as writer:
        writer.replace(["alice"], ex.WINDOW, used(*worked_example()), "settled")
        key = writer.keys.frame("alice", MIDNIGHT)
    with redis_server.client() as client:
        whole: Any = client.hget(key, "day")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for section in range(4):
        for claimed in (2**32 - 1, 257 * 2**20, 255 * 2**20, 2**20):
            rest = bytearray(whole[16:])
            struct.pack_into("<I", rest, 9 * section, claimed)
            blob = whole[:12] + struct.pack("<I", zlib.crc32(whole[:12] + rest)) + bytes(rest)
            with pytest.raises(PackingError, match="claims to have"):
                unpack_day("alice", blob, MIDNIGHT)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400 * 1024, "kB"
