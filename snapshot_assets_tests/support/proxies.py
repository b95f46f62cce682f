"""Proxies between a client and a server, which cut or delay what passes, and a mute server."""

from __future__ import annotations

import contextlib
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

_CHUNK = 4096
_LONGEST_WAIT_SECONDS = 10.0


class Listener(ABC):
    """Accepts connections at a free ``port``; on exit, ends all of them."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.accepted = 0
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._in_background(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would not wake the thread that accepts connections.
        _end(self._listener)
        self._threads[0].join(_LONGEST_WAIT_SECONDS)
        _end(*self._open)
        for thread in self._threads:
            thread.join(_LONGEST_WAIT_SECONDS)

    @abstractmethod
    def serve(self, client: socket.socket) -> None:
        """Handle a new connection, without waiting for it."""

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(client)
            self.serve(client)

    def _in_background(self, function: Callable[..., object], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


class MuteServer(Listener):
    """Accepts connections and never answers."""

    def serve(self, client: socket.socket) -> None:
        """Do nothing with the connection."""


class Proxy(Listener):
    """Passes everything between its clients and a server of 127.0.0.1."""

    def __init__(self, server_port: int) -> None:
        super().__init__()
        self._server_port = server_port

    def serve(self, client: socket.socket) -> None:
        """Connect the client with the server; without a server, end the connection."""
        try:
            server = socket.create_connection(("127.0.0.1", self._server_port))
        except OSError:
            _end(client)
            return
        self._open.append(server)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connect(client, server)

    def connect(self, client: socket.socket, server: socket.socket) -> None:
        """Pass everything, in both directions."""
        self._in_background(self._requests, client, server, None)
        self._in_background(self._answers, client, server, None)

    def _requests(self, client: socket.socket, server: socket.socket, cut: int | None) -> None:
        was_cut = _pass(client, server, cut)
        if was_cut:
            self.at_request_cut()
        # The server still reads everything that was passed, and then an orderly end.
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        if was_cut:
            _end(client)

    def at_request_cut(self) -> None:
        """Called when the requests of a connection were cut."""

    def _answers(self, client: socket.socket, server: socket.socket, cut: int | None) -> None:
        _pass(server, client, cut)
        _end(client)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
            while server.recv(_CHUNK):
                pass
        _end(server)


class CuttingProxy(Proxy):
    """Ends its first connections after so many bytes of answers, or of requests.

    Args:
        server_port: the server's port on 127.0.0.1.
        cuts: bytes of answers that reach the client, one number for each connection; None for all.
        request_cuts: bytes of requests that reach the server. The server reads them all before the
            end, as from a writer that is killed within a pipeline.
        at_request_cut: called at once when such a cut is reached.
    """

    def __init__(
        self,
        server_port: int,
        cuts: Sequence[int | None] = (),
        request_cuts: Sequence[int | None] = (),
        at_request_cut: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(server_port)
        self._at_request_cut = at_request_cut
        self._cuts, self._request_cuts = list(cuts), list(request_cuts)
        self._ended = threading.Semaphore(0)

    def wait_for_end(self) -> None:
        """Wait until the server has closed one more connection, and so done all its requests."""
        assert self._ended.acquire(timeout=_LONGEST_WAIT_SECONDS), "no connection ended"

    def at_request_cut(self) -> None:
        """Call the function that the test gave."""
        self._at_request_cut()

    def connect(self, client: socket.socket, server: socket.socket) -> None:
        """Pass everything up to the cuts."""
        cut = self._cuts.pop(0) if self._cuts else None
        request_cut = self._request_cuts.pop(0) if self._request_cuts else None
        self._in_background(self._requests, client, server, request_cut)
        self._in_background(self._answers, client, server, cut)

    def _answers(self, client: socket.socket, server: socket.socket, cut: int | None) -> None:
        super()._answers(client, server, cut)
        self._ended.release()


class TrickleProxy(Proxy):
    """Passes the answers a byte at a time, so often that no timeout between two bytes is reached.

    Args:
        server_port: the server's port on 127.0.0.1.
        pause_seconds: pause before each byte.
    """

    def __init__(self, server_port: int, pause_seconds: float = 0.3) -> None:
        super().__init__(server_port)
        self._pause_seconds = pause_seconds
        self._closed = threading.Event()

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        super().__exit__(*error)

    def connect(self, client: socket.socket, server: socket.socket) -> None:
        """Pass the requests at once, and the answers slowly."""
        self._in_background(self._requests, client, server, None)
        self._in_background(self._trickle, server, client)

    def _trickle(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (byte := server.recv(1)) and not self._closed.wait(self._pause_seconds):
                client.sendall(byte)
        _end(server, client)


def _pass(source: socket.socket, target: socket.socket, limit: int | None) -> bool:
    """Pass data until it ends or the limit of bytes is reached; return whether it was reached."""
    passed = 0
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            if limit is not None:
                data = data[: limit - passed]
            target.sendall(data)
            passed += len(data)
            if passed == limit:
                return True
    return False


def _end(*ends: socket.socket) -> None:
    for end in ends:
        # A thread that waits for the socket would not notice that it is closed.
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
