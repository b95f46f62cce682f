"""Who may open the pages: one hook admits or rejects each request.

The hook of :func:`install_access` runs before anything else of the application. There are no roles:
everybody with a name sees all pages.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

import flask

from snapshot_assets.dashboard.http.passwords import BusyError, PasswordFile
from snapshot_assets.dashboard.options import DashboardOptions, Network

log = logging.getLogger(__name__)

_REALM = "snapshot_assets"


def current_user() -> str | None:
    """The name of the user who sent this request; None without authentication."""
    name: str | None = flask.g.get("snapshot_user")
    return name


def install_access(server: flask.Flask, options: DashboardOptions) -> None:
    """Reject every request without a known user, except for ``healthz``.

    Raises:
        SettingsError: the password file cannot be used.
    """
    if not options.access.authenticates:
        return
    server.before_request(_Gate(options).admit)


class _Gate:
    """Decides on each request."""

    def __init__(self, options: DashboardOptions) -> None:
        access = options.access
        self._header = access.user_header
        self._trusted = access.trusted_proxies
        path = access.password_file
        self._passwords = None if path is None else PasswordFile(path)
        self._open = {f"{options.url_prefix}healthz"}
        if access.open_metrics:
            self._open.add(f"{options.url_prefix}metrics")

    def admit(self) -> flask.Response | None:
        """None lets the request pass; a response rejects it."""
        request = flask.request
        if request.path in self._open:
            return None
        named = None if self._header is None else request.headers.get(self._header)
        if named is not None:
            return self._admit_named(named)
        if self._passwords is None:
            return _rejection(
                401, "Not signed in: open this page through the reverse proxy, which signs you in."
            )
        return self._admit_with_password(self._passwords)

    def _admit_named(self, named: str) -> flask.Response | None:
        peer = flask.request.environ.get("REMOTE_ADDR")
        if not within(peer, self._trusted):
            return _rejection(
                403,
                f"The header {self._header} is accepted only from trusted proxies, and {peer} is "
                "not one of them. Open this page through the reverse proxy; if you did, its "
                "address is missing in SNAPSHOT_DASHBOARD_TRUSTED_PROXIES.",
            )
        if ", " in named:
            # Servers join repeated headers like this; the first may come from the client.
            return _rejection(
                403,
                f"The header {self._header} came more than once: let the reverse proxy replace "
                "what the browser sends, not add to it.",
            )
        # WSGI passes bytes as Latin-1 text.
        name = named.encode("latin-1", "replace").decode("utf-8", "replace").strip()
        if not name:
            return _rejection(401, "Not signed in: the reverse proxy sent an empty name.")
        flask.g.snapshot_user = name
        return None

    def _admit_with_password(self, passwords: PasswordFile) -> flask.Response | None:
        given = flask.request.authorization
        if given is None or given.type != "basic":
            return _challenge("Not signed in: this page needs a name and a password.")
        name, password = given.username or "", given.password or ""
        try:
            known = passwords.verify(name, password)
        except BusyError:
            rejection = _rejection(503, "Too many people are signing in right now; try again.")
            rejection.headers["Retry-After"] = "1"
            return rejection
        if not known:
            # The name stays out of the log: people sometimes type passwords there.
            log.warning("wrong name or password from %s", flask.request.environ.get("REMOTE_ADDR"))
            return _challenge("Not signed in: the name or the password is wrong.")
        flask.g.snapshot_user = name
        return None


def within(address: str | None, networks: Iterable[Network]) -> bool:
    """Whether an address, as WSGI servers report it, is in one of these networks."""
    try:
        # The address of a link-local peer ends with a percent sign and its interface.
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def _rejection(status: int, message: str) -> flask.Response:
    return flask.Response(f"{message}\n", status, mimetype="text/plain")


def _challenge(message: str) -> flask.Response:
    rejection = _rejection(401, message)
    rejection.headers["WWW-Authenticate"] = f'Basic realm="{_REALM}", charset="UTF-8"'
    return rejection
