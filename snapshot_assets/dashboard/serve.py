"""Serving the dashboard: sockets, limits, signals. One process, threads; nothing of Dash's own.

The server believes no ``X-Forwarded-*`` header, so that ``REMOTE_ADDR`` is always who really
connects: :mod:`~snapshot_assets.dashboard.access` depends on it.
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
# A connection takes one file, and up to three while it is slow.
_FILES = 4 * _CONNECTIONS
# Longer than the pages' pause between two looks, so that each keeps its connection.
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
        host: name or address to bind; all that the name stands for.
        port: TCP port; 0 for any that is free.
        options: of the dashboard.
        unsafe_bind: whether others than this machine may be served without authentication.

    Raises:
        SettingsError: it cannot be bound, or should not be.
    """
    addresses = _addresses(host, port)
    if not unsafe_bind and not options.access.authenticates:
        _refuse_strangers(host, addresses)
    sockets = _bound(host, port, addresses)
    _allow_files()
    # Otherwise it warns whenever more requests than threads arrive, which each page view does.
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


def _refuse_strangers(host: str, addresses: list[_Address]) -> None:
    if all(ip_address(sockaddr[0].partition("%")[0]).is_loopback for _, sockaddr in addresses):
        return
    raise SettingsError(
        f"at {host or 'all addresses'} everybody in the network could look, as there is no "
        "authentication: set SNAPSHOT_DASHBOARD_PASSWORD_FILE, or SNAPSHOT_DASHBOARD_USER_HEADER "
        "and SNAPSHOT_DASHBOARD_TRUSTED_PROXIES, or say --allow-anonymous"
    )


def _bound(host: str, port: int, addresses: list[_Address]) -> list[socket.socket]:
    """Sockets that are bound, and listening, so that a port in use is found now."""
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
