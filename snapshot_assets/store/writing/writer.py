"""Writing snapshots to Redis: exact replacement of hosts in a window, as documents and as frames.

Documents have one hash per bucket and one field per host: see docs/documents.md.
:mod:`snapshot_assets.store.writing.frames` writes the frames. Documents and frames are made from
the same usage, so both agree. The use cases in :mod:`snapshot_assets.pipeline` decide what to write
and when. :mod:`snapshot_assets.store.reading.reader` reads.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from itertools import islice
from typing import Any, ClassVar

import pandas as pd

from snapshot_assets.domain.documents import SETTLED_ENDING, documents
from snapshot_assets.domain.measures import Stage
from snapshot_assets.domain.schemas import SnapshotDocuments, validate
from snapshot_assets.domain.time import DAY_SECONDS, Window
from snapshot_assets.domain.usage import Usage
from snapshot_assets.errors import StoreOutageError
from snapshot_assets.store.client import ThreadedClient
from snapshot_assets.store.layout import COMPLETE, days_of
from snapshot_assets.store.reading.plan import run
from snapshot_assets.store.reading.presence import PresencePlans, Progress
from snapshot_assets.store.transport.answers import decoded_host
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets.store.transport.wire import Command
from snapshot_assets.store.writing.frames import SUMMARIES, FrameWriter
from snapshot_assets.timing import Timer

WRITER_PATIENCE = Patience(5.0, 6, 4.0)

# The commands for this many buckets are sent before their answers are read.
_BUCKETS_PER_PIPELINE = 100

# Writes one bucket of a live refresh and leaves settled documents alone. This is a script, because
# the day may settle between a read and a write by the client.
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

# Writes the watermark and the recipe, but only if the server was not emptied or replaced since
# begin_live().
_RECORD_LIVE = """
if redis.call('HGET', KEYS[1], 'filling') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'live_until', ARGV[2])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'live_recipe', ARGV[3]) end
return 1
"""


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What a replacement did.

    Attributes:
        written: number of documents written.
        removed: number of documents removed, because there is no usage of this host and bucket.
        expired: number of buckets not written, because they are past the retention of documents.
        kept_settled: number of settled documents that a live refresh left alone.
        written_bytes: size of the documents.
        frame_bytes: size of the frames.
    """

    written: int = 0
    removed: int = 0
    expired: int = 0
    kept_settled: int = 0
    written_bytes: int = 0
    frame_bytes: int = 0

    def __add__(self, other: WriteReport) -> WriteReport:
        return WriteReport(*map(sum, zip(astuple(self), astuple(other), strict=True)))


class SnapshotWriter(ThreadedClient):
    """Writes documents and frames to Redis, and records there how far Redis was filled.

    The writer tries seven times. If the server does not accept connections, as during a restart,
    the tries take at least three seconds. If the server accepts connections and does not answer,
    the tries take about forty seconds.

    Takes the arguments of :class:`~snapshot_assets.store.client.StoreClient`. A context manager.
    """

    default_patience: ClassVar[Patience] = WRITER_PATIENCE

    def replace(
        self,
        hosts: Collection[str],
        window: Window,
        usage: Usage,
        stage: Stage,
        timer: Timer | None = None,
        record: str | None = None,
    ) -> WriteReport:
        """Make Redis hold exactly this usage for these hosts in this window.

        Other hosts and buckets do not change. A second call changes nothing, and completes a first
        call that was interrupted. A live replacement leaves settled buckets and records alone. A
        settled one removes the records of the days in the window, and at its end writes the new
        record for the days that lie in the window as a whole.

        Args:
            hosts: the hosts to replace; in a bucket without usage of a host, the host's document is
                removed.
            window: the buckets to replace.
            usage: of these hosts and buckets only.
            stage: the stage of the usage.
            timer: gets the seconds of the steps document, validate and write.
            record: what made the usage, kept beside settled days; None if that is not known.

        Raises:
            ValueError: the usage has other hosts or buckets.
            SchemaError: the documents do not conform to their schema; nothing was written.
            StoreOutageError: Redis does not answer, even after retries.
            StoreError: Redis rejects a command.
        """
        _require_covered(hosts, window, usage)
        timer = timer or Timer()
        horizon = self.clock()
        alive = [b for b in window.buckets() if self.keys.document_expiry(b) > horizon]
        fresh = usage.select(usage.start >= (alive[0] if alive else window.end))
        with timer("document"):
            table = documents(fresh)
        with timer("validate"):
            validate(SnapshotDocuments, table, f"{_whose(hosts)} in {window}")
        days = [d for d in days_of(window) if self.keys.retains(d + DAY_SECONDS, horizon)]
        with timer("write"):
            if stage == "settled" and hosts:
                self.base.execute([("HDEL", self.keys.records(day), *hosts) for day in days])
            frame_bytes = FrameWriter(self.base, self.keys, self.clock).replace(
                hosts, window, usage, stage
            )
            written, removed, kept = self._replace_documents(hosts, alive, table, stage)
            if stage == "settled" and hosts and record is not None:
                self._record_settled(hosts, window, days, record)
        return WriteReport(
            written=written,
            removed=removed,
            expired=len(usage) - len(fresh),
            kept_settled=kept,
            written_bytes=sum(map(len, table["body"])),
            frame_bytes=frame_bytes,
        )

    def remove_all(self, window: Window) -> None:
        """Remove a window's documents, its days' frames and records, and the whole state.

        The summaries of a month are removed as a whole.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        keys = self.keys
        doomed = [keys.document(bucket) for bucket in window.buckets()]
        for day in days_of(window):
            index = keys.hosts_of_day(day)
            for raw in self.base.execute([("SMEMBERS", index)])[0]:
                host = decoded_host(raw, index)
                doomed += [keys.frame(host, day), *(keys.summary(host, r, day) for r in SUMMARIES)]
            doomed += [index, keys.records(day)]
        doomed += [keys.state, keys.newest_snapshots, keys.arrivals]
        self.base.execute([("DEL", key) for key in dict.fromkeys(doomed)])

    def progress(self) -> Progress:
        """How far this server was filled, and the hosts that the live path has read.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        return run(self._plans(PresencePlans).progress(), self.base)

    def begin_live(self) -> bytes:
        """The mark of this filling, for :meth:`record_live`; a server loses it when emptied.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        state = self.keys.state
        _, found = self.base.execute(
            [("HSETNX", state, "filling", uuid.uuid4().hex), ("HGET", state, "filling")]
        )
        return bytes(found or b"")

    def record_live(
        self,
        until: float,
        newest_epoch: Mapping[str, float],
        filling: bytes,
        recipe: str | None = None,
        looked_epoch: float = 0.0,
    ) -> None:
        """Record up to when the live path has published, and each host's newest snapshot.

        Args:
            until: epoch seconds.
            newest_epoch: epoch seconds of the hosts with newer snapshots than before.
            filling: the result of :meth:`begin_live` before anything was published.
            recipe: the settings that made everything live; None leaves what is recorded.
            looked_epoch: when the live path looked before, epoch seconds. A snapshot counts as
                arrived then, or when it was taken, if that was later.

        Raises:
            StoreOutageError: the server was emptied since :meth:`begin_live`. The published data is
                gone, so no watermark is recorded.
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        (same,) = self.base.execute(
            [
                (
                    *("EVAL", _RECORD_LIVE, 1, self.keys.state),
                    *(filling, repr(float(until)), recipe or ""),
                )
            ]
        )
        if not same:
            raise StoreOutageError(
                f"Redis at {self.address} was emptied while the live path published; the live path "
                "has to publish again"
            )
        if newest_epoch:
            newest = [x for h, epoch in newest_epoch.items() for x in (h, repr(float(epoch)))]
            arrived = [
                x for h, epoch in newest_epoch.items() for x in (h, repr(max(epoch, looked_epoch)))
            ]
            self.base.execute(
                [
                    ("HSET", self.keys.newest_snapshots, *newest),
                    ("HSET", self.keys.arrivals, *arrived),
                ]
            )

    def forget_hosts(self, hosts: Collection[str]) -> None:
        """Forget that the live path has read these hosts; their figures stay.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        if hosts:
            known = (self.keys.newest_snapshots, self.keys.arrivals)
            self.base.execute([("HDEL", key, *hosts) for key in known])

    def record_complete(self, complete: bool) -> None:
        """Record that Redis has all settled days, or that they have to be restored.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        if complete:
            self.base.execute([("HSET", self.keys.state, COMPLETE, repr(self.clock()))])
        else:
            self.base.execute([("HDEL", self.keys.state, COMPLETE)])

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """A block that writes all settled days; after it, the server counts as complete.

        Raises:
            StoreOutageError: the server was emptied during the block, or does not answer.
            StoreError: as :meth:`replace`.
        """
        self.base.execute([("HSET", self.keys.state, "restoring", uuid.uuid4().hex)])
        yield
        # The mark of another restoration that began meanwhile also proves that nothing was lost.
        if self.base.execute([("HGET", self.keys.state, "restoring")])[0] is None:
            raise StoreOutageError(
                f"Redis at {self.address} was emptied while it was being restored; restore it again"
            )
        self.record_complete(True)

    def _record_settled(
        self, hosts: Collection[str], window: Window, days: Iterable[int], record: str
    ) -> None:
        commands: list[Command] = []
        for day in days:
            if window.start <= day and day + DAY_SECONDS <= window.end:
                key = self.keys.records(day)
                commands.append(("HSET", key, *(x for host in hosts for x in (host, record))))
                commands.append(("EXPIREAT", key, self.keys.hosts_expiry(day)))
        self.base.execute(commands)

    # --- documents --------------------------------------------------------------------------

    def _replace_documents(
        self, hosts: Collection[str], buckets: list[int], table: pd.DataFrame, stage: Stage
    ) -> tuple[int, int, int]:
        bodies: dict[int, dict[str, bytes]] = {}
        for bucket, host, body in zip(
            table["bucket_start"], table["host"], table["body"], strict=True
        ):
            bodies.setdefault(bucket, {})[host] = body
        send = self._send_live if stage == "live" else self._send_settled
        written = removed = kept = 0
        for chunk in _chunks(buckets, _BUCKETS_PER_PIPELINE):
            for counts in send({b: bodies.get(b, {}) for b in chunk}, hosts):
                written, removed, kept = (
                    written + counts[0],
                    removed + counts[1],
                    kept + counts[2],
                )
        return written, removed, kept

    def _send_settled(
        self, buckets: dict[int, dict[str, bytes]], hosts: Collection[str]
    ) -> list[tuple[int, int, int]]:
        commands: list[Command] = []
        for bucket, found in buckets.items():
            key = self.keys.document(bucket)
            absent = [host for host in hosts if host not in found]
            if absent:
                commands.append(("HDEL", key, *absent))
            if found:
                commands.append(("HSET", key, *(x for pair in found.items() for x in pair)))
                commands.append(("EXPIREAT", key, self.keys.document_expiry(bucket)))
        answers = iter(self.base.execute(commands))
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
        commands: list[Command] = []
        for bucket, found in buckets.items():
            arguments: list[Any] = [self.keys.document_expiry(bucket), SETTLED_ENDING]
            for host in hosts:
                arguments += [host, found.get(host, b"")]
            commands.append(("EVAL", _WRITE_LIVE, 1, self.keys.document(bucket), *arguments))
        return [tuple(answer) for answer in self.base.execute(commands)]


def _require_covered(hosts: Collection[str], window: Window, usage: Usage) -> None:
    """Reject usage of other hosts or buckets than those to replace.

    Raises:
        ValueError: there is such usage.
    """
    known = set(hosts)
    for code in set(usage.host_index.tolist()):
        if usage.hosts[code] not in known:
            raise ValueError(f"usage of {usage.hosts[code]!r} is outside the hosts to replace")
    if len(usage) and not window.start <= usage.start.min() <= usage.start.max() < window.end:
        raise ValueError(f"usage at {usage.start.min()} to {usage.start.max()} is outside {window}")


def _whose(hosts: Collection[str]) -> str:
    return next(iter(hosts)) if len(hosts) == 1 else f"{len(hosts)} hosts"


def _chunks(items: Iterable[int], size: int) -> Iterable[list[int]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
