"""A cache of answers that are the same for all viewers, kept until the store has news.

When a bucket arrives, all open overviews need the same answer within seconds. The first request
reads the store, the others wait for its answer. The cache holds answers of queries, not pages; no
caller may change an answer.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")

# The watch of the store does not notice late rows and settled days; answers may lag this long.
_SECONDS = 60.0
# An answer is up to a few megabytes: a hundred hosts and a month.
_MOST = 24


class _Entry:
    """One answer, or the failure to get it; who computes the answer holds the lock."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.at: float | None = None
        self.value: Any = None
        self.failure: Exception | None = None


class Memo:
    """Keeps the newest answers; threads share it.

    Args:
        latest: returns the news of the store, comparable; an exception during an outage.
        monotonic: seconds.
    """

    def __init__(
        self, latest: Callable[[], Hashable], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._latest = latest
        self._monotonic = monotonic
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def answer(self, question: Hashable, compute: Callable[[], _Answer]) -> _Answer:
        """The answer to a question: a kept answer, or else the one that ``compute`` returns.

        A failure is not kept; it is raised for all callers who waited for the same answer.
        """
        news = self._latest()
        if isinstance(news, Exception):
            return compute()
        key = question, news
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or self._is_old(entry):
                entry = self._entries[key] = _Entry()
            self._entries.move_to_end(key)
            while len(self._entries) > _MOST:
                self._entries.popitem(last=False)
        with entry.lock:
            if entry.failure is not None:
                raise entry.failure
            if entry.at is None:
                try:
                    entry.value = compute()
                except Exception as error:
                    entry.failure = error
                    with self._lock:
                        if self._entries.get(key) is entry:
                            del self._entries[key]
                    raise
                entry.at = self._monotonic()
            found: _Answer = entry.value
            return found

    def _is_old(self, entry: _Entry) -> bool:
        return entry.at is not None and self._monotonic() - entry.at > _SECONDS
