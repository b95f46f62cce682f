"""How long it takes to read documents, beside the reader that is replaced and the wire itself.

Measured on a private Redis with 30 days of documents of some hosts: one host's 24 hours and 30
days, and the same with more hosts loaded, which must not matter. ``wire`` is what nobody can beat:
the same requests, packed beforehand, over a bare socket, and the same bytes through orjson. The
reader that is replaced asks ``KEYS *``, and then for one key at a time; there a key is a bucket of
one host, and reading all hosts would take longer still.
"""

from __future__ import annotations

import argparse
import datetime as dt
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hiredis
import orjson
import redis

from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso, bucket_start
from snapshot_assets.store.redis_reader import RedisReader
from snapshot_assets_tests.servers import Redis

DAYS = 30
HOST = "node000"


def main(arguments: Sequence[str] | None = None) -> None:
    """Load, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.read_documents", description=__doc__
    )
    parser.add_argument("--hosts", type=int, nargs="*", default=[5, 50])
    parser.add_argument("--repeat", type=int, default=15)
    options = parser.parse_args(arguments)
    now = bucket_start(time.time())
    print("| hosts | range | get_data ms | p90 | wire ms | times the wire | KEYS and GET ms |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for count in options.hosts:
        with tempfile.TemporaryDirectory() as folder, Redis(Path(folder)) as server:
            _load(server, count, now)
            for days in (1, DAYS):
                print(_line(server, count, days, now, options.repeat), flush=True)


def _line(server: Redis, count: int, days: int, now: int, repeat: int) -> str:
    end = dt.datetime.fromtimestamp(now, dt.UTC)
    start = end - dt.timedelta(days=days)
    buckets = range(now - days * 86_400, now + 1, BUCKET_SECONDS)
    with RedisReader(port=server.port) as reader, Wire(server) as wire, server.client() as old:
        expected = reader.get_data(HOST, start, end)
        if len(expected) != len(buckets) or wire.read(buckets) != list(expected.values()):
            raise RuntimeError("the readers do not agree")
        ours, bare, keys = [], [], []
        for turn in range(repeat):  # taking turns, so that noise falls on all
            ours.append(_milliseconds(lambda: reader.get_data(HOST, start, end)))
            bare.append(_milliseconds(lambda: wire.read(buckets)))
            if turn < 3:
                keys.append(_milliseconds(lambda: _keys_and_gets(old, start)))
    median = statistics.median(ours)
    return (
        f"| {count} | {days * 24} h | {median:.1f} | {statistics.quantiles(ours, n=10)[-1]:.1f} | "
        f"{statistics.median(bare):.1f} | {median / statistics.median(bare):.2f} | "
        f"{statistics.median(keys):,.0f} |"
    )


def _milliseconds(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    found = work()
    spent = time.perf_counter() - begun
    del found
    return spent * 1e3


class Wire:
    """The same requests and answers without a client library."""

    def __init__(self, server: Redis) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def read(self, buckets: Sequence[int]) -> list[Any]:
        """The host's documents."""
        found: list[Any] = []
        for first in range(0, len(buckets), 1_000):
            chunk = buckets[first : first + 1_000]
            self._socket.sendall(b"".join(_packed(chunk)))
            reader, left = hiredis.Reader(), len(chunk)
            while left:
                reader.feed(self._socket.recv(1 << 16))
                while (body := reader.gets()) is not False:
                    found.append(orjson.loads(body))
                    left -= 1
        return found


def _packed(buckets: Sequence[int]) -> Iterator[bytes]:
    for bucket in buckets:
        yield b"*3\r\n$4\r\nHGET\r\n$25\r\n%b\r\n$%d\r\n%b\r\n" % (
            bucket_iso(bucket).encode(),
            len(HOST),
            HOST.encode(),
        )


def _keys_and_gets(client: redis.Redis, start: dt.datetime) -> dict[str, Any]:
    """One key per bucket and host, all keys searched: what this replaces."""
    found = {}
    keys: Any = client.keys("*")
    for key in keys:
        text = key.decode()
        if text.startswith(f"old:{HOST}:") and text[len(f"old:{HOST}:") :] >= start.isoformat():
            body: Any = client.get(key)
            found[text] = orjson.loads(body)
    return found


def _load(server: Redis, hosts: int, now: int) -> None:
    with server.client() as client:
        pipeline = client.pipeline(transaction=False)
        for number, bucket in enumerate(range(now - DAYS * 86_400, now + 1, BUCKET_SECONDS)):
            fields: dict[Any, Any] = {
                f"node{host:03}": _document(f"node{host:03}", bucket) for host in range(hosts)
            }
            pipeline.hset(bucket_iso(bucket), mapping=fields)
            for host, body in fields.items():
                pipeline.set(f"old:{host}:{bucket_iso(bucket)}", body if host == HOST else b"")
            if number % 50 == 0:
                pipeline.execute()
        pipeline.execute()


def _document(host: str, bucket: int) -> bytes:
    """1.4 kB, as a busy host's are."""
    stamp, noise = bucket_iso(bucket), (bucket // 300 * 7919) % 1000
    where = {"host": host, "timestamp": stamp}
    people = ["ana", "ben", "chen", "dora", "emil", "fatima"]
    return orjson.dumps(
        {
            "cpu": {
                "command": {"cpu_norm": 12.3, "timestamp": stamp},
                "user": [
                    {"cpu_norm": (i + noise) / 1e3, "username": name, "comm": "python", **where}
                    for i, name in enumerate(people)
                ],
                "other": {"cpu_norm": 0.4},
            },
            "mem": {
                "command": {"rss": 80.1, "timestamp": stamp},
                "user": [
                    {"rss": (i + noise) / 10, "username": name, "comm": "python", **where}
                    for i, name in enumerate(people[:5])
                ],
                "other": {"rss": 2.2},
            },
            "meta": {"coverage": 1.0, "snapshots": 5, "stage": "settled"},
        }
    )


if __name__ == "__main__":
    main()
