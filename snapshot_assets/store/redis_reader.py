"""Reading documents from Redis. What every page view waits for.

Keys are computed from the asked range, never searched: the cost follows the range, not the
keyspace. Writing is :mod:`snapshot_assets.store.document_writer`'s business.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import orjson
from redis.exceptions import ResponseError

from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start, epoch
from snapshot_assets.errors import StoreError
from snapshot_assets.store.redis_base import Patience, RedisBase

Document = dict[str, Any]

DEFAULT_RANGE = dt.timedelta(hours=24)
# About a megabyte and a half of documents of one host.
_BUCKETS_PER_REQUEST = 1_000
# last_update() also sees buckets of a writer whose clock is ahead by up to this.
_CLOCK_TOLERANCE_SECONDS = 3_600


class Holding(NamedTuple):
    """The hosts with a document under a bucket's key, and the key's expiry, epoch seconds.

    The expiry is -1 for a key that never expires and -2 for one that is not there.
    """

    hosts: frozenset[str]
    expire_at: int


class RedisReader(RedisBase):
    """Reads what the writer put there. Gives up after about two seconds.

    Takes the arguments of :class:`~snapshot_assets.store.redis_base.RedisBase`.
    """

    default_patience: ClassVar[Patience] = Patience(0.9, 1, 0.1)

    def get_data(
        self,
        host: str | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
    ) -> OrderedDict[int, dict[str, Any]]:
        """The documents of a time range.

        Args:
            host: one host; all if None.
            start_time: aware; the first bucket start wanted, included. Default: 24 hours before
                ``end_time``.
            end_time: aware; the last bucket start wanted, included. Default: now.

        Returns:
            Epoch second of the bucket to its document, ascending; to ``{host: document}`` where
            ``host`` is None. Buckets without a document are absent: a gap is not a zero.

        Raises:
            ValueError: a naive datetime, or a range that ends before it starts.
            StoreOutageError: Redis does not answer.
            StoreError: Redis refuses, or holds something that is no document.
        """
        found: OrderedDict[int, dict[str, Any]] = OrderedDict()
        asked = self._buckets(start_time, end_time)
        if host is not None:
            for bucket, body in self._ask(asked, "HGET", host):
                if body is not None:
                    found[bucket] = self._decode(body, bucket, host)
            return found
        for bucket, answer in self._ask(asked, "HGETALL"):
            if answer:
                found[bucket] = {
                    (name := raw.decode()): self._decode(body, bucket, name)
                    for raw, body in sorted(_pairs(answer))
                }
        return found

    def hosts(
        self, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
    ) -> list[str]:
        """The hosts with a document in the range, sorted; by default in the last 24 hours.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_data`.
        """
        asked = self._buckets(start_time, end_time)
        names = {name for _, found in self._ask(asked, "HKEYS") for name in found}
        return sorted(name.decode() for name in names)

    def holdings(self, buckets: Sequence[int]) -> dict[int, Holding]:
        """Who has a document in each of these buckets, and until when it is kept.

        For the census; the documents themselves are not read.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        expiries = dict(self._ask(buckets, "EXPIRETIME"))
        return {
            bucket: Holding(frozenset(host.decode() for host in hosts), expiries[bucket])
            for bucket, hosts in self._ask(buckets, "HKEYS")
        }

    def last_update(self, host: str | None = None) -> dt.datetime | None:
        """The start of the newest bucket, UTC, of one host or of any; None if there is none.

        Looks back from now, a day at a time, as far as the retention goes.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        newest = bucket_start(self.clock() + _CLOCK_TOLERANCE_SECONDS)
        oldest = bucket_start(self.clock() - self.retention_seconds) - BUCKET_SECONDS
        buckets = range(newest, oldest, -BUCKET_SECONDS)
        command = ("EXISTS",) if host is None else ("HEXISTS", host)
        for bucket, present in self._ask(buckets, *command, at_once=288):
            if present:
                return dt.datetime.fromtimestamp(bucket, dt.UTC)
        return None

    def _ask(
        self,
        buckets: Sequence[int],
        command: str,
        *arguments: str,
        at_once: int = _BUCKETS_PER_REQUEST,
    ) -> Iterator[tuple[int, Any]]:
        """Each bucket with the answer to this command on its key, in the order of the buckets."""
        for first in range(0, len(buckets), at_once):
            chunk = buckets[first : first + at_once]
            with self.explained():
                answers = self._exchange(self._packed(chunk, command, arguments), len(chunk))
                for bucket, answer in zip(chunk, answers, strict=True):
                    if isinstance(answer, ResponseError):
                        raise type(answer)(f"{answer}: {command} {self.key(bucket)}")
            yield from zip(chunk, answers, strict=True)

    def _packed(self, buckets: Sequence[int], command: str, arguments: Sequence[str]) -> bytes:
        """The requests as they go over the wire.

        All keys are equally long, so that only they vary: ten times faster than packing each.
        """
        name = command.encode()
        size = len(self.key(0).encode())
        head = b"*%d\r\n$%d\r\n%b\r\n$%d\r\n" % (2 + len(arguments), len(name), name, size)
        tail = b"\r\n"
        for argument in arguments:
            encoded = argument.encode()
            tail += b"$%d\r\n%b\r\n" % (len(encoded), encoded)
        return b"".join([b"%b%b%b" % (head, self.key(b).encode(), tail) for b in buckets])

    def _exchange(self, request: bytes, count: int) -> list[Any]:
        """Send packed commands and take their answers, a ResponseError where one was refused.

        With the client's connections and retries, as a pipeline of redis-py does it, but without
        an object for each command.
        """
        pool = self.client.connection_pool
        connection: Any = pool.get_connection()

        def answer() -> Any:
            try:
                return connection.read_response(disable_decoding=True)
            except ResponseError as error:
                return error

        def exchange() -> list[Any]:
            connection.send_packed_command([request])
            return [answer() for _ in range(count)]

        try:
            found: list[Any] = connection.retry.call_with_retry(
                exchange, lambda _: connection.disconnect()
            )
            return found
        finally:
            pool.release(connection)

    def _buckets(self, start_time: dt.datetime | None, end_time: dt.datetime | None) -> range:
        """The starts of the buckets in ``[start_time, end_time]``, both included."""
        end = self.clock() if end_time is None else epoch(end_time, "end_time")
        if start_time is None:
            start = end - DEFAULT_RANGE.total_seconds()
        else:
            start = epoch(start_time, "start_time")
        if start > end:
            raise ValueError(f"start_time {start_time} is after end_time {end_time or 'now'}")
        first = -bucket_start(-start)  # rounded up
        return range(first, bucket_start(end) + 1, BUCKET_SECONDS)

    def _decode(self, body: bytes, bucket: int, host: str) -> Document:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise StoreError(
                f"the document of {host!r} under {self.key(bucket)!r} at {self.address} is no "
                f"JSON ({error}); settle that day again"
            ) from None
        if not isinstance(document, dict):
            raise StoreError(
                f"the document of {host!r} under {self.key(bucket)!r} at {self.address} is no "
                "JSON object; another program uses the same keys, set SNAPSHOT_KEY_PREFIX"
            )
        return document


def _pairs(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """Fields and values of a hash, which RESP3 gives as a map and RESP2 as a list."""
    if isinstance(answer, dict):
        return answer.items()
    return zip(answer[::2], answer[1::2], strict=True)
