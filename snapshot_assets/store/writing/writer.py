"""Writing snapshots to Redis: exact replacement of hosts in a window, as documents and as frames.

Documents, see docs/documents.md: one hash per bucket, one field per host. How frames are written is
told in :mod:`snapshot_assets.store.writing.frames`; both are made of the same usage, so they agree.
What is written when is decided by the use cases in :mod:`snapshot_assets.pipeline`; reading is
:mod:`snapshot_assets.store.reading.reader`'s business.
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
from snapshot_assets.domain.time import Window
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
        frame_bytes: size of the frames written.
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
    """Puts snapshots into Redis, and remembers there how far it was filled.

    Tries seven times: for three seconds at least while Redis refuses connections, as a server does
    that restarts, and for some forty while Redis accepts them and is silent.

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
    ) -> WriteReport:
        """Make Redis hold exactly this usage for these hosts in this window.

        Other hosts and buckets are not touched. Doing it again changes nothing, and an interrupted
        replacement is completed by doing it again. A live replacement leaves settled buckets alone.

        Args:
            hosts: whose buckets are replaced; those without usage in a bucket lose it.
            window: which buckets are replaced.
            usage: of these hosts and buckets only.
            stage: what it was accounted as.
            timer: gets the seconds of document, validate and write.

        Raises:
            SchemaError: the documents are not what they should be; nothing was written.
            StoreOutageError: Redis did not answer, also not after retries.
            StoreError: Redis refuses to write.
        """
        _require_covered(hosts, window, usage)
        timer = timer or Timer()
        horizon = self.clock()
        alive = [b for b in window.buckets() if self.keys.document_expiry(b) > horizon]
        fresh = usage.select(usage.start >= (alive[0] if alive else window.end))
        with timer("document"):
            frame = documents(fresh)
        with timer("validate"):
            validate(SnapshotDocuments, frame, f"{_whose(hosts)} in {window}")
        with timer("write"):
            frame_bytes = FrameWriter(self.base, self.keys, self.clock).replace(
                hosts, window, usage, stage
            )
            written, removed, kept = self._replace_documents(hosts, alive, frame, stage)
        return WriteReport(
            written=written,
            removed=removed,
            expired=len(usage) - len(fresh),
            kept_settled=kept,
            written_bytes=sum(map(len, frame["body"])),
            frame_bytes=frame_bytes,
        )

    def remove_all(self, window: Window) -> None:
        """Remove what all hosts have in a window's days, and what is remembered of the filling.

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
            doomed.append(index)
        doomed += [keys.state, keys.newest_snapshots]
        self.base.execute([("DEL", key) for key in dict.fromkeys(doomed)])

    def progress(self) -> Progress:
        """How far this server was filled, and with whom.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        return run(self._plans(PresencePlans).progress(), self.base)

    def begin_live(self) -> bytes:
        """What this server is known by until it is emptied; for :meth:`record_live`.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        state = self.keys.state
        _, found = self.base.execute(
            [("HSETNX", state, "filling", uuid.uuid4().hex), ("HGET", state, "filling")]
        )
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
        (same,) = self.base.execute(
            [("EVAL", _RECORD_LIVE, 1, self.keys.state, filling, repr(float(until)))]
        )
        if not same:
            raise StoreOutageError(
                f"Redis at {self.address} was emptied while the live path published; it has to "
                "publish again"
            )
        if newest_epoch:
            pairs = [x for h, epoch in newest_epoch.items() for x in (h, repr(float(epoch)))]
            self.base.execute([("HSET", self.keys.newest_snapshots, *pairs)])

    def record_complete(self, complete: bool) -> None:
        """Remember that all settled days are here, or that they have to be restored.

        Raises:
            StoreOutageError, StoreError: as :meth:`replace`.
        """
        if complete:
            self.base.execute([("HSET", self.keys.state, COMPLETE, repr(self.clock()))])
        else:
            self.base.execute([("HDEL", self.keys.state, COMPLETE)])

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """While all settled days are being put here; afterwards the server counts as complete.

        Raises:
            StoreOutageError: it was emptied once more meanwhile, or did not answer.
            StoreError: as :meth:`replace`.
        """
        self.base.execute([("HSET", self.keys.state, "restoring", uuid.uuid4().hex)])
        yield
        # Another restoration that began meanwhile is as good.
        if self.base.execute([("HGET", self.keys.state, "restoring")])[0] is None:
            raise StoreOutageError(
                f"Redis at {self.address} was emptied while it was being restored; restore it again"
            )
        self.record_complete(True)

    # --- documents --------------------------------------------------------------------------

    def _replace_documents(
        self, hosts: Collection[str], buckets: list[int], frame: pd.DataFrame, stage: Stage
    ) -> tuple[int, int, int]:
        bodies: dict[int, dict[str, bytes]] = {}
        for bucket, host, body in zip(
            frame["bucket_start"], frame["host"], frame["body"], strict=True
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
    """Refuse usage that the replacement does not cover."""
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
