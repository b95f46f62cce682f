"""The server process of the dashboard: sockets, limits, signals. One process with threads.

The server ignores each ``X-Forwarded-*`` header, so that ``REMOTE_ADDR`` is always the peer of the
connection: :mod:`~snapshot_assets.dashboard.http.access` depends on it.
"""

from __future__ import annotations

import errno
import logging
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from types import FrameType
from typing import Any

import click
import dash
import waitress

from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.errors import SettingsError

_THREADS = 8
_CONNECTIONS = 1_000
# A connection takes one file, a slow one up to three.
_FILES = 4 * _CONNECTIONS
# Longer than the time between two checks of an open page, so that each page keeps its connection.
_IDLE_SECONDS = 75
_KIB = 1024


def serve(
    app: dash.Dash,
    host: str,
    port: int,
    options: DashboardOptions,
    *,
    unsafe_bind: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT. For the main thread.

    Args:
        app: the dashboard.
        host: name or address to bind; all addresses of the name.
        port: TCP port; 0 for any free port.
        options: of the dashboard.
        unsafe_bind: whether other machines may be served without authentication.

    Raises:
        SettingsError: the address cannot be bound, or would be open to everybody.
    """
    addresses = _addresses(host, port)
    if not unsafe_bind and not options.access.authenticates:
        _reject_strangers(host, addresses)
    sockets = _bound(host, port, addresses)
    _allow_files()
    # Each page view sends more requests than there are threads, and waitress warns about that.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = waitress.create_server(
        app.server,
        sockets=sockets,
        threads=_THREADS,
        connection_limit=_CONNECTIONS,
        channel_timeout=_IDLE_SECONDS,
        asyncore_use_poll=True,
        max_request_header_size=64 * _KIB,
        max_request_body_size=4 * _KIB * _KIB,
        clear_untrusted_proxy_headers=True,
        ident="",
    )
    with _ended_by_signals():
        for bound in sockets:
            click.echo(f"Dashboard  {_url(bound, options.url_prefix)}")
        server.run()
    server.close()
    click.echo("stopped")


_Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def _addresses(host: str, port: int) -> list[_Address]:
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"there is no address {host!r} to bind ({error}); choose another with --host"
        ) from None
    return list(dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found))


def _reject_strangers(host: str, addresses: list[_Address]) -> None:
    if all(ip_address(sockaddr[0].partition("%")[0]).is_loopback for _, sockaddr in addresses):
        return
    raise SettingsError(
        f"at {host or 'all addresses'} everybody in the network could open the pages, as there is "
        "no authentication: set SNAPSHOT_DASHBOARD_PASSWORD_FILE, or "
        "SNAPSHOT_DASHBOARD_USER_HEADER and SNAPSHOT_DASHBOARD_TRUSTED_PROXIES, or pass "
        "--allow-anonymous"
    )


def _bound(host: str, port: int, addresses: list[_Address]) -> list[socket.socket]:
    """Sockets that are bound and listening, so that a port in use is reported now."""
    bound: list[socket.socket] = []
    try:
        for family, sockaddr in addresses:
            listener = socket.socket(family, socket.SOCK_STREAM)
            bound.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(sockaddr)
            listener.listen()
    except (OSError, OverflowError) as error:
        for listener in bound:
            listener.close()
        raise SettingsError(_why_not_bound(host, port, error)) from None
    return bound


def _why_not_bound(host: str, port: int, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is in use; end what listens there, or choose another with "
            "--port"
        )
    if number == errno.EACCES:
        return f"port {port} is not for ordinary users; choose one from 1024 on with --port"
    if number == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}; choose another with --host"
    return f"port {port} of {host} cannot be bound ({error}); choose others with --host and --port"


def _allow_files() -> None:
    """Raise the limit of open files, as far as it may be raised, for many open pages."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGINT end waitress' loop: it lets running requests finish."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit

    before = {name: signal.signal(name, end) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def _url(bound: socket.socket, prefix: str) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{prefix}"
