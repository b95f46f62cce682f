"""Whether the store answers, and what is newest in it.

Every open page and every monitor needs to know. One :class:`StoreWatch` for all of them asks Redis
at most once a second.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, TypeAlias, get_args

from snapshot_assets.domain.sampling import HostState, state_of
from snapshot_assets.errors import OutageError, StoreError
from snapshot_assets.store.reading.reader import RedisReader

log = logging.getLogger(__name__)

Failure: TypeAlias = Literal["outage", "refused"]
FAILURES: tuple[Failure, ...] = get_args(Failure)

# How long one answer of the store serves all requests.
_FRESH_SECONDS = 1.0
# While one thread waits for the store, the others get an answer up to this old. Longer than the
# reader's patience.
_OLDEST_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class News:
    """The newest data in the store.

    Attributes:
        newest: start of the newest bucket, epoch seconds; None without a bucket.
        hosts: number of hosts with a document in that bucket.
        live_until: epoch second up to which the live path has published; None if it never has.
        newest_epoch: of each host the time of its newest snapshot, epoch seconds.
        arrived_epoch: of each host when that snapshot arrived, about, epoch seconds.
    """

    newest: int | None
    hosts: int
    live_until: float | None
    newest_epoch: Mapping[str, float] = field(default_factory=dict, compare=False)
    arrived_epoch: Mapping[str, float] = field(default_factory=dict, compare=False)

    def count_hosts(self, now: float, allowed_seconds: float) -> Counter[HostState]:
        """The number of hosts in each state.

        Args:
            now: epoch seconds.
            allowed_seconds: how old the newest snapshot of a host in time may be.
        """
        return Counter(
            state_of(now, newest, self.arrived_epoch.get(host), allowed_seconds)
            for host, newest in self.newest_epoch.items()
        )


def failure_kind(error: StoreError) -> Failure:
    """Whether the store does not answer (outage) or refuses."""
    return "outage" if isinstance(error, OutageError) else "refused"


class StoreWatch:
    """Asks the store for its news, at most once a second for all callers.

    Threads share one watch. During an outage one thread at a time waits for Redis; the others get
    the last answer.

    Args:
        reader: of the store.
        failed: called with each failure.
    """

    def __init__(self, reader: RedisReader, failed: Callable[[StoreError], None]) -> None:
        self._reader = reader
        self._failed = failed
        self._reading = Lock()
        self._known: tuple[News | StoreError, float] | None = None
        self._failure: Failure | None = None

    def latest(self) -> News | StoreError:
        """The news, or the error that the store gave instead."""
        known = self._known_since(_FRESH_SECONDS)
        if known is not None:
            return known
        recent = self._known_since(_OLDEST_SECONDS)
        if not self._reading.acquire(blocking=recent is None):
            assert recent is not None
            return recent
        try:
            # Another thread may have read while this one waited.
            known = self._known_since(_FRESH_SECONDS)
            if known is None:
                known = self._read()
                self._known = known, time.monotonic()
            return known
        finally:
            self._reading.release()

    def _known_since(self, seconds: float) -> News | StoreError | None:
        if self._known is None:
            return None
        known, at = self._known
        return known if time.monotonic() - at < seconds else None

    def _read(self) -> News | StoreError:
        try:
            found = self._reader.last_update()
            newest = None if found is None else int(found.timestamp())
            hosts = 0
            if newest is not None:
                hosts = len(self._reader.holdings([newest])[newest].hosts)
            known = self._reader.progress()
            news = News(newest, hosts, known.live_until, known.newest_epoch, known.arrived_epoch)
        except StoreError as error:
            self._failed(error)
            self._report(failure_kind(error), error)
            return error.with_traceback(None)
        self._report(None)
        return news

    def _report(self, failure: Failure | None, error: StoreError | None = None) -> None:
        """Log a change once, not every second."""
        if failure != self._failure:
            self._failure = failure
            if error is None:
                log.warning("the data store answers again")
            else:
                log.warning("%s", error)
