"""The rivals that reading is compared with: bare wire, one key at a time, a summary table."""

from __future__ import annotations

import datetime as dt
import socket
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import hiredis
import orjson
import pandas as pd
import pymysql
import redis

from snapshot_assets.domain.time import Window, bucket_iso
from snapshot_assets.store.reading.plan import Plan, answers_of, batch_of
from snapshot_assets.store.transport.wire import exchange


class Wire:
    """The lower bound: sends requests packed beforehand over a bare socket, and parses the answers.

    Documents are also decoded.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def read(self, requests: Sequence[tuple[bytes, int]], decode: bool) -> list[Any]:
        """The answers to these packed requests."""
        found: list[Any] = []
        for packed, count in requests:
            self._socket.sendall(packed)
            reader, left = hiredis.Reader(), count
            while left:
                reader.feed(self._socket.recv(1 << 16))
                while left and (answer := reader.gets()) is not False:
                    left -= 1
                    if not decode:
                        found.append(answer)
                    elif isinstance(answer, list):
                        found += [orjson.loads(body) for body in answer[1::2]]
                    elif answer is not None:
                        found.append(orjson.loads(answer))
        return found


def requests_of(plan: Plan[Any], client: Any, patience: Any) -> list[tuple[bytes, int]]:
    """The requests of a reading plan, packed; the plan is run once to find them."""
    requests = []
    try:
        yielded = next(plan)
        while True:
            batch = batch_of(yielded)
            requests.append((batch.packed, batch.count))
            answers = answers_of(yielded, exchange(client, batch, patience), "the rival")
            yielded = plan.send(answers)
    except StopIteration:
        return requests


def set_keys(client: redis.Redis, window: Window, hosts: Mapping[str, bytes]) -> None:
    """Write one key per bucket and host."""
    pipeline = client.pipeline(transaction=False)
    for number, bucket in enumerate(window.buckets()):
        pipeline.mset({f"old:{host}:{bucket_iso(bucket)}": body for host, body in hosts.items()})
        if number % 100 == 99:
            pipeline.execute()
    pipeline.execute()


def keys_and_gets(client: redis.Redis, host: str, start: dt.datetime) -> dict[str, Any]:
    """Search all keys, then get the host's keys one by one: what the product replaces."""
    found = {}
    prefix = f"old:{host}:"
    keys: Any = client.keys("*")
    for key in keys:
        text = key.decode()
        if text.startswith(prefix) and text[len(prefix) :] >= start.isoformat():
            body: Any = client.get(key)
            found[text] = orjson.loads(body)
    return found


def summary_table(
    connection: pymysql.Connection, host: str | None, start: dt.datetime, end: dt.datetime
) -> pd.DataFrame:
    """The rows of an indexed table, through pandas."""
    query = "SELECT * FROM load_summary WHERE snapshot_datetime BETWEEN %s AND %s"
    values: list[Any] = [start.replace(tzinfo=None), end.replace(tzinfo=None)]
    if host is not None:
        query, values = f"{query} AND host = %s", [*values, host]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas prefers SQLAlchemy
        return pd.read_sql(query, connection, params=values)
