"""A deadline for a whole exchange, not for each packet of an exchange.

A socket's timeout starts again with each byte, so a server that sends single bytes slowly could
block a thread for ever. One thread watches the deadlines of all connections that threads wait for,
and shuts down late connections. A timer for each exchange would cost more than the exchange. For
asyncio there is :func:`asyncio.timeout`.
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
    """The time at which a connection is shut down; moved on while answers arrive.

    Attributes:
        connection: redis-py's connection.
        seconds: how long to wait.
        due_at: when the connection is shut down, seconds of the monotonic clock.
        missed: whether the connection was shut down.
    """

    __slots__ = ("connection", "due_at", "missed", "seconds")

    def __init__(self, connection: Any, seconds: float) -> None:
        self.connection = connection
        self.seconds = seconds
        self.due_at = time.monotonic() + seconds
        self.missed = False

    def move(self) -> None:
        """Start the time again."""
        self.due_at = time.monotonic() + self.seconds


@contextmanager
def deadline(connection: Any, seconds: float) -> Iterator[Deadline]:
    """Shut the connection down if the block that uses it misses the deadline.

    Raises:
        redis.TimeoutError: the block missed the deadline, with or without an error of its own.
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
    """The error for a missed deadline."""
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
            elif kept.due_at < self._wakes_at:
                self._changed.notify()

    def remove(self, kept: Deadline) -> None:
        # The lock makes this wait for a shutdown in progress: afterwards another thread may get the
        # connection.
        with self._changed:
            self._kept.discard(kept)

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for late in [kept for kept in self._kept if kept.due_at <= now]:
                    self._kept.discard(late)
                    late.missed = True
                    _shut_down(late.connection)
                # The thread also wakes once for exchanges that ended long ago. That is cheaper than
                # a notification for each exchange that ends.
                self._wakes_at = min((kept.due_at for kept in self._kept), default=float("inf"))
                rest = self._wakes_at - time.monotonic()
                self._changed.wait(max(rest, 0.0) if self._kept else None)


def _shut_down(connection: Any) -> None:
    """Wake the thread that waits for this connection; that thread then closes the connection.

    This function does not close the socket, because the system gives the number of a closed socket
    to the next socket that is opened. A thread that still used the number would write to the wrong
    connection.
    """
    waited_for = connection._sock
    if waited_for is not None:
        with suppress(OSError):
            # SSLSocket.shutdown() would drop TLS, and the waiting thread would go on in plain text.
            socket.socket.shutdown(waited_for, socket.SHUT_RDWR)


_watch = _Watch()


def _forget() -> None:
    global _watch
    _watch = _Watch()


os.register_at_fork(after_in_child=_forget)
