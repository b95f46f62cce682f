"""Writing frames to Redis: a host's usage in columns, by day, and summaries by hour and by day.

A day that is settled as a whole becomes one compressed text, and its summaries two more. Buckets
that are written one by one, live or settled, are fields of their own beside the day's text, so a
refresh writes only new buckets. One script changes all keys of a host's day, so a reader gets
either the old or the new state, and writers of other buckets lose nothing. Layout: docs/frames.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from snapshot_assets.domain.measures import Resolution, Stage
from snapshot_assets.domain.summary import summarise
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS, Window
from snapshot_assets.domain.usage import Usage
from snapshot_assets.store.layout import (
    COVERED,
    WHOLE_DAY,
    Keys,
    bucket_field,
    day_field,
    day_of,
    days_of,
)
from snapshot_assets.store.packing.buckets import SETTLED_MARK, pack_buckets
from snapshot_assets.store.packing.days import pack_day
from snapshot_assets.store.packing.summaries import pack_summary
from snapshot_assets.store.transport.base import RedisBase
from snapshot_assets.store.transport.wire import Command

SUMMARIES: tuple[Resolution, ...] = ("hour", "day")
# Commands with texts of about a megabyte are sent before their answers are read.
_LARGEST_PIPELINE_BYTES = 2**20

# KEYS: the day in 5 minutes, the month in hours, the month in days.
# ARGV: field of the day in its months, then for each key its expiry and its text ('' for no text),
# and last the covered buckets.
_SETTLE_DAY = f"""
redis.call('DEL', KEYS[1])
for i, key in ipairs(KEYS) do
  local expire_at, text = ARGV[2 * i], ARGV[2 * i + 1]
  local field = i == 1 and '{WHOLE_DAY}' or ARGV[1]
  if text == '' then
    redis.call('HDEL', key, field)
  else
    redis.call('HSET', key, field, text)
    redis.call('EXPIREAT', key, expire_at)
  end
end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], '{COVERED}', ARGV[8]) end
return 1
"""

# KEYS as above. ARGV: field of the day in its months, expiry, whether settled, then for each
# bucket its position in the day, its field and its text ('' for a bucket without usage).
# An empty text in Redis says that the bucket has no usage, although the text of the whole day has
# some. Texts of every version begin with the mark of their stage.
_WRITE_BUCKETS = f"""
local covered = redis.call('HGET', KEYS[1], '{COVERED}')
local changed = false
for i = 4, #ARGV, 3 do
  local position, field, text = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  local in_day = covered and string.sub(covered, position + 1, position + 1) == '1'
  local old = redis.call('HGET', KEYS[1], field)
  local settled
  if old then
    settled = string.sub(old, 1, 1) == '{SETTLED_MARK.decode()}'
  else
    settled = in_day
  end
  if ARGV[3] == '1' or not settled then
    if text ~= '' then
      redis.call('HSET', KEYS[1], field, text)
      changed = true
    elseif in_day then
      redis.call('HSET', KEYS[1], field, '')
      changed = true
    elseif old then
      redis.call('HDEL', KEYS[1], field)
      changed = true
    end
  end
end
redis.call('EXPIREAT', KEYS[1], ARGV[2])
if changed then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
end
return 1
"""


@dataclass(frozen=True, slots=True)
class FrameWriter:
    """Writes frames over a connection.

    Attributes:
        base: the connection.
        keys: the keys in Redis.
        clock: returns the epoch seconds now.
    """

    base: RedisBase
    keys: Keys
    clock: Callable[[], float]

    def replace(self, hosts: Collection[str], window: Window, usage: Usage, stage: Stage) -> int:
        """Make the frames of these hosts hold exactly this usage in this window.

        A live replacement leaves settled buckets alone.

        Args:
            hosts: the hosts whose frames are replaced.
            window: the buckets that are replaced.
            usage: of these hosts and buckets only.
            stage: the stage of the usage.

        Returns:
            Number of bytes of all texts that were sent.

        Raises:
            StoreOutageError, StoreError: as :meth:`SnapshotWriter.replace`.
        """
        parts = {(host, day): part for host, day, part in usage.by_host_day()}
        written = 0
        for commands, size in _batches(self._commands(hosts, window, parts, stage)):
            self.base.execute(commands)
            written += size
        return written

    def _commands(
        self,
        hosts: Collection[str],
        window: Window,
        parts: dict[tuple[str, int], Usage],
        stage: Stage,
    ) -> Iterator[tuple[Command, int]]:
        """The commands to send, each with the number of bytes of its texts."""
        keys, now = self.keys, self.clock()
        for day in days_of(window):
            if keys.hosts_expiry(day) <= now:
                continue
            known = sorted({host for host, found in parts if found == day})
            if known:
                index = keys.hosts_of_day(day)
                yield ("SADD", index, *known), 0
                yield ("EXPIREAT", index, keys.hosts_expiry(day)), 0
            whole = window.start <= day and day + DAY_SECONDS <= window.end
            for host in hosts:
                part = parts.get((host, day))
                if stage == "settled" and whole:
                    yield self._settle_day(host, day, part, now)
                elif keys.frame_expiry(day) > now:
                    yield self._write_buckets(host, day, window, part, stage)

    def _settle_day(
        self, host: str, day: int, part: Usage | None, now: float
    ) -> tuple[Command, int]:
        keys = self.keys
        texts: list[bytes] = []
        expiries = [keys.frame_expiry(day), *(keys.summary_expiry(r, day) for r in SUMMARIES)]
        texts.append(pack_day(part, day) if part is not None and expiries[0] > now else b"")
        for resolution in SUMMARIES:
            kept = day + DAY_SECONDS + keys.retention.seconds_for(resolution) > now
            wanted = part is not None and kept
            texts.append(pack_summary(summarise(part, resolution), day) if wanted and part else b"")
        covered = set() if part is None else set(part.start.tolist())
        bits = "".join("01"[b in covered] for b in Window(day, day + DAY_SECONDS).buckets())
        arguments: list[Any] = [day_field(day)]
        for expiry, text in zip(expiries, texts, strict=True):
            arguments += [expiry, text]
        return self._script(_SETTLE_DAY, host, day, [*arguments, bits]), sum(map(len, texts))

    def _write_buckets(
        self, host: str, day: int, window: Window, part: Usage | None, stage: Stage
    ) -> tuple[Command, int]:
        texts = {} if part is None else pack_buckets(part)
        arguments: list[Any] = [
            day_field(day),
            self.keys.frame_expiry(day),
            int(stage == "settled"),
        ]
        for bucket in Window(max(window.start, day), min(window.end, day + DAY_SECONDS)).buckets():
            position = (bucket - day_of(bucket)) // BUCKET_SECONDS
            arguments += [position, bucket_field(bucket), texts.get(bucket, b"")]
        size = sum(map(len, texts.values()))
        return self._script(_WRITE_BUCKETS, host, day, arguments), size

    def _script(self, script: str, host: str, day: int, arguments: list[Any]) -> Command:
        keys = (
            self.keys.frame(host, day),
            *(self.keys.summary(host, resolution, day) for resolution in SUMMARIES),
        )
        return ("EVAL", script, len(keys), *keys, *arguments)


def _batches(
    commands: Iterator[tuple[Command, int]],
) -> Iterator[tuple[list[Command], int]]:
    batch: list[Command] = []
    size = 0
    for command, text_bytes in commands:
        batch.append(command)
        size += text_bytes
        if size >= _LARGEST_PIPELINE_BYTES or len(batch) >= 1_000:
            yield batch, size
            batch, size = [], 0
    if batch:
        yield batch, size
