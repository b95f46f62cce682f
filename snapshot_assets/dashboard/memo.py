"""Answers that are the same for everybody, kept until the store has news.

When a bucket arrives, everybody who looks at the overview asks the same within seconds. The first
one asks the store, the others wait for that answer. What pages make of an answer is not kept here,
and nobody may change one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")

# Late rows and settled days are no news to the store's watch; so long they may stay unseen.
_SECONDS = 60.0
# An answer is up to a few megabytes: a hundred hosts and a month.
_MOST = 24


class _Entry:
    """One answer, or the failure to get it; the lock is held while it is on its way."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.at: float | None = None
        self.value: Any = None
        self.failure: Exception | None = None


class Memo:
    """Keeps the newest answers; threads share it.

    Args:
        latest: what the store has last, comparable; an exception if it does not answer.
        monotonic: seconds.
    """

    def __init__(
        self, latest: Callable[[], Hashable], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._latest = latest
        self._monotonic = monotonic
        self._lock = Lock()
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()

    def of(self, question: Hashable, answer: Callable[[], _Answer]) -> _Answer:
        """The answer to a question: a kept one, or else what ``answer`` gives.

        A failure is not kept, but told to all who were waiting for the same.
        """
        news = self._latest()
        if isinstance(news, Exception):
            return answer()
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
                    entry.value = answer()
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
