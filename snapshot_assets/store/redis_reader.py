"""Reading documents from Redis. What every page view waits for.

Keys are computed from the asked range, never searched: the cost follows the range, not the
keyspace. Writing is :mod:`snapshot_assets.store.redis_writer`'s business.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

import orjson

from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start, epoch
from snapshot_assets.errors import StoreError
from snapshot_assets.store.redis_base import Patience, RedisBase

Document = dict[str, Any]

DEFAULT_RANGE = dt.timedelta(hours=24)
_BUCKETS_PER_PIPELINE = 1_000
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
        for buckets in _chunks(self._buckets(start_time, end_time)):
            pipeline = self.client.pipeline(transaction=False)
            for bucket in buckets:
                if host is None:
                    pipeline.hgetall(self.key(bucket))
                else:
                    pipeline.hget(self.key(bucket), host)
            with self.explained():
                answers = pipeline.execute()
            for bucket, answer in zip(buckets, answers, strict=True):
                if not answer:
                    continue
                if host is not None:
                    found[bucket] = self._decode(answer, bucket, host)
                else:
                    found[bucket] = {
                        (name := raw.decode()): self._decode(body, bucket, name)
                        for raw, body in sorted(answer.items())
                    }
        return found

    def hosts(
        self, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
    ) -> list[str]:
        """The hosts with a document in the range, sorted; by default in the last 24 hours.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_data`.
        """
        names: set[bytes] = set()
        for buckets in _chunks(self._buckets(start_time, end_time)):
            pipeline = self.client.pipeline(transaction=False)
            for bucket in buckets:
                pipeline.hkeys(self.key(bucket))
            with self.explained():
                names.update(*pipeline.execute())
        return sorted(name.decode() for name in names)

    def holdings(self, buckets: Sequence[int]) -> dict[int, Holding]:
        """Who has a document in each of these buckets, and until when it is kept.

        For the census; the documents themselves are not read.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        found = {}
        for first in range(0, len(buckets), _BUCKETS_PER_PIPELINE):
            chunk = buckets[first : first + _BUCKETS_PER_PIPELINE]
            pipeline = self.client.pipeline(transaction=False)
            for bucket in chunk:
                pipeline.hkeys(self.key(bucket))
                pipeline.expiretime(self.key(bucket))
            with self.explained():
                answers = iter(pipeline.execute())
            for bucket in chunk:
                hosts, expire_at = next(answers), next(answers)
                found[bucket] = Holding(frozenset(host.decode() for host in hosts), expire_at)
        return found

    def last_update(self, host: str | None = None) -> dt.datetime | None:
        """The start of the newest bucket, UTC, of one host or of any; None if there is none.

        Looks back from now, a day at a time, as far as the retention goes.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        newest = bucket_start(self.clock() + _CLOCK_TOLERANCE_SECONDS)
        oldest = bucket_start(self.clock() - self.retention_seconds) - BUCKET_SECONDS
        for buckets in _chunks(range(newest, oldest, -BUCKET_SECONDS), 288):
            pipeline = self.client.pipeline(transaction=False)
            for bucket in buckets:
                if host is None:
                    pipeline.exists(self.key(bucket))
                else:
                    pipeline.hexists(self.key(bucket), host)
            with self.explained():
                answers = pipeline.execute()
            for bucket, present in zip(buckets, answers, strict=True):
                if present:
                    return dt.datetime.fromtimestamp(bucket, dt.UTC)
        return None

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


def _chunks(buckets: range, size: int = _BUCKETS_PER_PIPELINE) -> Iterator[Sequence[int]]:
    for first in range(0, len(buckets), size):
        yield buckets[first : first + size]
