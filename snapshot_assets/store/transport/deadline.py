"""A deadline for all of an exchange, not for each packet of it.

A socket's timeout starts anew with each byte, so a server that trickles would hold whoever waits
for ever. One thread watches all connections that threads wait for, and hangs up those that are
late; a timer for each exchange would cost more than the exchange. For asyncio there is
:func:`asyncio.timeout`.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import exceptions as errors


class Deadline:
    """When a connection is hung up on; moved as long as there is progress."""

    __slots__ = ("connection", "missed", "moment", "seconds")

    def __init__(self, connection: Any, seconds: float) -> None:
        self.connection = connection
        self.seconds = seconds
        self.moment = time.monotonic() + seconds
        self.missed = False

    def move(self) -> None:
        """Start anew."""
        self.moment = time.monotonic() + self.seconds


@contextmanager
def deadline(connection: Any, seconds: float) -> Iterator[Deadline]:
    """Hang up when a block that uses this connection takes longer.

    Raises:
        redis.TimeoutError: it did, whatever the block made of that.
    """
    kept = Deadline(connection, seconds)
    _watch.add(kept)
    try:
        yield kept
    except BaseException:
        _watch.remove(kept)
        if kept.missed:
            raise no_whole_answer(seconds) from None
        raise
    _watch.remove(kept)
    if kept.missed:
        raise no_whole_answer(seconds)


def no_whole_answer(seconds: float) -> errors.TimeoutError:
    """What is said when a deadline is missed."""
    return errors.TimeoutError(f"no whole answer within {seconds:g} s")


class _Watch:
    """The thread that watches; it starts with the first deadline, and again after a fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._kept: set[Deadline] = set()
        self._wakes_at = 0.0
        self._thread: threading.Thread | None = None

    def add(self, kept: Deadline) -> None:
        with self._changed:
            self._kept.add(kept)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="snapshot-assets-deadlines", daemon=True
                )
                self._thread.start()
            elif kept.moment < self._wakes_at:
                self._changed.notify()

    def remove(self, kept: Deadline) -> None:
        # Only here, and not while it is being hung up: the connection goes on to somebody else.
        with self._changed:
            self._kept.discard(kept)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for late in [kept for kept in self._kept if kept.moment <= now]:
                    self._kept.discard(late)
                    late.missed = True
                    _hang_up(late.connection)
                # It also wakes for those that are long done, once: cheaper than to be told of each.
                self._wakes_at = min((kept.moment for kept in self._kept), default=float("inf"))
                rest = self._wakes_at - time.monotonic()
                self._changed.wait(max(rest, 0.0) if self._kept else None)


def _hang_up(connection: Any) -> None:
    """Wake the thread that waits for this connection; it finds it ended, and closes it.

    Not closed here: the number of a closed socket goes to the next one that is opened, and a thread
    that still used it would talk into somebody else's connection.
    """
    waited_for = connection._sock
    if waited_for is not None:
        with suppress(OSError):
            # An SSLSocket's own shutdown() would have others go on in plain text.
            socket.socket.shutdown(waited_for, socket.SHUT_RDWR)


_watch = _Watch()


def _forget() -> None:
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_forget)
