"""Writing documents to Redis: exact replacement of hosts in a window.

Layout, see docs/documents.md: one hash per bucket, one field per host, expiring 30 days after the
bucket's end. What is written when is decided in :mod:`snapshot_assets.store.live` and by the
assets; reading is :mod:`snapshot_assets.store.redis_reader`'s business.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, cast

import pandas as pd

from snapshot_assets.domain.documents import SETTLED_ENDING, Stage
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import StoreOutageError
from snapshot_assets.store.redis_base import Patience, RedisBase

# Commands for about a megabyte go out before their answers are read.
_BUCKETS_PER_PIPELINE = 100

# One bucket, written by a live refresh: settled documents stay as they are. Server-side, because
# the day may settle between a look and a write of ours.
_WRITE_LIVE = """
local expire_at, ending = ARGV[1], ARGV[2]
local written, removed, kept = 0, 0, 0
for i = 3, #ARGV, 2 do
  local host, body = ARGV[i], ARGV[i + 1]
  local old = redis.call('HGET', KEYS[1], host)
  if old and string.sub(old, -#ending) == ending then
    kept = kept + 1
  elseif body == '' then
    removed = removed + redis.call('HDEL', KEYS[1], host)
  else
    redis.call('HSET', KEYS[1], host, body)
    written = written + 1
  end
end
redis.call('EXPIREAT', KEYS[1], expire_at)
return {written, removed, kept}
"""

# The watermark, only if the server is still the one that was asked at the beginning.
_RECORD_LIVE = """
if redis.call('HGET', KEYS[1], 'filling') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'live_until', ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What a replacement did.

    Attributes:
        written: documents now in Redis.
        removed: documents that should no longer be there and are gone.
        expired: documents not written because their bucket is past the retention.
        kept_settled: documents of a live refresh left out because the bucket is settled.
        written_bytes: size of the documents written.
    """

    written: int = 0
    removed: int = 0
    expired: int = 0
    kept_settled: int = 0
    written_bytes: int = 0

    def __add__(self, other: WriteReport) -> WriteReport:
        return WriteReport(
            self.written + other.written,
            self.removed + other.removed,
            self.expired + other.expired,
            self.kept_settled + other.kept_settled,
            self.written_bytes + other.written_bytes,
        )


class DocumentWriter(RedisBase):
    """Puts documents into Redis. Retries for up to about half a minute.

    Takes the arguments of :class:`~snapshot_assets.store.redis_base.RedisBase`.
    """

    default_patience: ClassVar[Patience] = Patience(5.0, 6, 4.0)

    def replace(
        self, hosts: Collection[str], window: Window, frame: pd.DataFrame, stage: Stage
    ) -> WriteReport:
        """Make Redis hold exactly these documents for these hosts in this window.

        Other hosts and buckets are not touched. Doing it again changes nothing, and an interrupted
        replacement is completed by doing it again. A live replacement leaves settled documents
        alone.

        Args:
            hosts: whose documents are replaced; those without a document in a bucket lose it.
            window: which buckets are replaced.
            frame: a validated :class:`~snapshot_assets.domain.stages.SnapshotDocuments` frame with
                these hosts and buckets only.
            stage: what the documents were built as.

        Raises:
            StoreOutageError: Redis did not answer, also not after retries.
            StoreError: Redis refuses to write.
        """
        bodies = _by_bucket(hosts, window, frame)
        horizon = self.clock()
        alive = [b for b in window.buckets() if self.expire_at(b) > horizon]
        first_alive = alive[0] if alive else window.end
        expired = sum(len(found) for bucket, found in bodies.items() if bucket < first_alive)
        send = self._send_live if stage == "live" else self._send_settled
        written = removed = kept = 0
        for buckets in _chunks(alive, _BUCKETS_PER_PIPELINE):
            for counts in send({b: bodies.get(b, {}) for b in buckets}, hosts):
                written, removed, kept = (
                    written + counts[0],
                    removed + counts[1],
                    kept + counts[2],
                )
        size = sum(len(body) for b in alive for body in bodies.get(b, {}).values())
        return WriteReport(written, removed, expired, kept, size)

    def remove_all(self, window: Window) -> None:
        """Remove the documents of all hosts in a window, and what is remembered of the filling.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        pipeline = self.client.pipeline(transaction=False)
        for bucket in window.buckets():
            pipeline.delete(self.key(bucket))
        pipeline.delete(self._state_key)
        pipeline.delete(self._hosts_key)
        with self.explained():
            pipeline.execute()

    def begin_live(self) -> bytes:
        """What this server is known by until it is emptied; for :meth:`record_live`.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        with self.explained():
            self.client.hsetnx(self._state_key, "filling", uuid.uuid4().hex)
            found: Any = self.client.hget(self._state_key, "filling")
        return bytes(found or b"")

    def record_live(self, until: float, newest_epoch: Mapping[str, float], filling: bytes) -> None:
        """Remember up to when the live path has published, and each host's newest snapshot.

        Args:
            until: epoch seconds.
            newest_epoch: by host, epoch seconds.
            filling: what :meth:`begin_live` gave before anything was published.

        Raises:
            StoreOutageError: the server was emptied since; what was published is gone, and the
                watermark must not outlive it.
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        script = self.client.register_script(_RECORD_LIVE)
        with self.explained():
            same = script(keys=[self._state_key], args=[filling, repr(float(until))])
        if not same:
            raise StoreOutageError(
                f"Redis at {self.address} was emptied while the live path published; it has to "
                "publish again"
            )
        if newest_epoch:
            values = {host: repr(float(epoch)) for host, epoch in newest_epoch.items()}
            with self.explained():
                self.client.hset(self._hosts_key, mapping=cast(dict[Any, Any], values))

    def record_complete(self, complete: bool) -> None:
        """Remember that all settled days are here, or that they have to be restored.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        with self.explained():
            if complete:
                self.client.hset(self._state_key, "complete", repr(self.clock()))
            else:
                self.client.hdel(self._state_key, "complete")

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """While all settled days are being put here; afterwards the server counts as complete.

        Raises:
            StoreOutageError: it was emptied once more meanwhile, or did not answer.
            StoreError: as :meth:`replace`.
        """
        token = uuid.uuid4().hex
        with self.explained():
            self.client.hset(self._state_key, "restoring", token)
        yield
        with self.explained():
            found: Any = self.client.hget(self._state_key, "restoring")
        # Another restoration that began meanwhile is as good.
        if found is None:
            raise StoreOutageError(
                f"Redis at {self.address} was emptied while it was being restored; restore it again"
            )
        self.record_complete(True)

    # --- wire -------------------------------------------------------------------------------

    def _send_settled(
        self, buckets: dict[int, dict[str, bytes]], hosts: Collection[str]
    ) -> list[tuple[int, int, int]]:
        pipeline = self.client.pipeline(transaction=False)
        for bucket, found in buckets.items():
            key = self.key(bucket)
            absent = [host for host in hosts if host not in found]
            if absent:
                pipeline.hdel(key, *absent)
            if found:
                pipeline.hset(key, mapping=cast(dict[Any, Any], found))
                pipeline.expireat(key, self.expire_at(bucket))
        with self.explained():
            answers = iter(pipeline.execute())
        counts = []
        for found in buckets.values():
            removed = next(answers) if len(found) < len(hosts) else 0
            if found:
                next(answers), next(answers)
            counts.append((len(found), removed, 0))
        return counts

    def _send_live(
        self, buckets: dict[int, dict[str, bytes]], hosts: Collection[str]
    ) -> list[tuple[int, int, int]]:
        script = self.client.register_script(_WRITE_LIVE)
        pipeline = self.client.pipeline(transaction=False)
        for bucket, found in buckets.items():
            arguments: list[Any] = [self.expire_at(bucket), SETTLED_ENDING]
            for host in hosts:
                arguments += [host, found.get(host, b"")]
            script(keys=[self.key(bucket)], args=arguments, client=pipeline)
        with self.explained():
            return [tuple(answer) for answer in pipeline.execute()]


def _by_bucket(
    hosts: Collection[str], window: Window, frame: pd.DataFrame
) -> dict[int, dict[str, bytes]]:
    """The documents by bucket and host; refuses those that the replacement does not cover."""
    known = set(hosts)
    found: dict[int, dict[str, bytes]] = {}
    for bucket, host, body in zip(frame["bucket_start"], frame["host"], frame["body"], strict=True):
        if host not in known or not window.start <= bucket < window.end:
            raise ValueError(f"document of {host!r} at {bucket} is outside {window} or its hosts")
        found.setdefault(bucket, {})[host] = body
    return found


def _chunks(items: Iterable[int], size: int) -> Iterable[list[int]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
