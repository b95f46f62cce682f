"""Who may look, and what browsers may do with what they get: authentication and security headers.

Every request passes :func:`install_access`'s hook before anything else of the application. There
are no roles: whoever has a name sees all. What the names are for is not told here.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from threading import BoundedSemaphore, Lock

import flask
from werkzeug.security import check_password_hash, generate_password_hash

from snapshot_assets.dashboard.options import DashboardOptions, Network
from snapshot_assets.errors import SettingsError

log = logging.getLogger(__name__)

_REALM = "snapshot_assets"
_MAKE_A_LINE = "write name:hash as 'snapshot-assets dashboard-password NAME' prints it"
_HASH = re.compile(r"(scrypt:\d+:\d+:\d+|pbkdf2:\w+:\d+)\$[^$:\s]+\$(?:[0-9a-f]{2})+", re.ASCII)
_NOBODYS_METHOD = "scrypt"
# Half of the server's threads, so that those whose password is known already always get one.
_PASSWORDS_UNDER_WAY = 4
# Each takes a core and 32 MB for a moment.
_PASSWORDS_AT_ONCE = 2


class _BusyError(Exception):
    """Too many passwords are being looked at."""


def current_user() -> str | None:
    """The name of who asks; None without authentication."""
    name: str | None = flask.g.get("snapshot_user")
    return name


def install_access(server: flask.Flask, options: DashboardOptions) -> None:
    """Refuse every request that no user is known for, except for ``healthz``.

    Raises:
        SettingsError: the password file cannot be used.
    """
    if not options.access.authenticates:
        return
    server.before_request(_Door(options).admit)


class _Door:
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
        """Let the request pass, or answer it with a refusal."""
        request = flask.request
        if request.path in self._open:
            return None
        named = None if self._header is None else request.headers.get(self._header)
        if named is not None:
            return self._admit_named(named)
        if self._passwords is None:
            return _refusal(
                401, "Not signed in: open this page through the reverse proxy, which signs you in."
            )
        return self._admit_with_password(self._passwords)

    def _admit_named(self, named: str) -> flask.Response | None:
        peer = flask.request.environ.get("REMOTE_ADDR")
        if not within(peer, self._trusted):
            return _refusal(
                403,
                f"The header {self._header} is believed only from trusted proxies, and {peer} is "
                "none. Open this page through the reverse proxy; if this came through it, its "
                "address is missing in SNAPSHOT_DASHBOARD_TRUSTED_PROXIES.",
            )
        if ", " in named:
            # Servers join repeated headers like this; the first one would be the client's own.
            return _refusal(
                403,
                f"The header {self._header} came more than once: let the reverse proxy replace "
                "what the browser sends, not add to it.",
            )
        # WSGI hands over bytes in the disguise of Latin-1.
        name = named.encode("latin-1", "replace").decode("utf-8", "replace").strip()
        if not name:
            return _refusal(401, "Not signed in: the reverse proxy names nobody.")
        flask.g.snapshot_user = name
        return None

    def _admit_with_password(self, passwords: PasswordFile) -> flask.Response | None:
        given = flask.request.authorization
        if given is None or given.type != "basic":
            return _challenge("Not signed in: this page needs a name and a password.")
        name, password = given.username or "", given.password or ""
        try:
            known = passwords.verify(name, password)
        except _BusyError:
            refusal = _refusal(503, "Too many are signing in at this moment; try again.")
            refusal.headers["Retry-After"] = "1"
            return refusal
        if not known:
            # Not the name: people type passwords there.
            log.warning("wrong name or password from %s", flask.request.environ.get("REMOTE_ADDR"))
            return _challenge("Not signed in: the name or the password is wrong.")
        flask.g.snapshot_user = name
        return None


def within(address: str | None, networks: Iterable[Network]) -> bool:
    """Whether an address as WSGI servers tell it is in one of these networks."""
    try:
        # A link-local peer has its interface behind a percent sign.
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in networks)


def _refusal(status: int, told: str) -> flask.Response:
    return flask.Response(f"{told}\n", status, mimetype="text/plain")


def _challenge(told: str) -> flask.Response:
    refusal = _refusal(401, told)
    refusal.headers["WWW-Authenticate"] = f'Basic realm="{_REALM}", charset="UTF-8"'
    return refusal


# --- passwords -----------------------------------------------------------------------------------


def password_line(name: str, password: str) -> str:
    """The line of a password file that lets this user in.

    Raises:
        ValueError: no such line can be written.
    """
    if problem := _name_problem(name):
        raise ValueError(problem)
    if not password:
        raise ValueError("the password is empty")
    return f"{name}:{generate_password_hash(password)}"


def _name_problem(name: str) -> str | None:
    if not name or name != name.strip():
        return "the name is empty or has a space at an end"
    if ":" in name or name.startswith("#") or not name.isprintable():
        return "the name has a colon, a control character, or a # at its beginning"
    return None


@dataclass(frozen=True, slots=True)
class _Users:
    """What a password file said, and who has shown the right password since.

    Attributes:
        hashes: by name.
        nobodys: a hash that no password fits, of the kind that most have.
        shown: each name's right password as a keyed digest. The key is random and never leaves the
            process, so that the digest can be quick.
    """

    hashes: dict[str, str]
    nobodys: str
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    shown: dict[str, bytes] = field(default_factory=dict, repr=False)

    def digest(self, name: str, password: str) -> bytes:
        """What stands for this password of this user."""
        # No name has a colon.
        return hashlib.blake2b(f"{name}:{password}".encode(), key=self.key).digest()

    def has_shown(self, name: str, digest: bytes) -> bool:
        """Whether this very password was found right before."""
        return hmac.compare_digest(self.shown.get(name, b""), digest)


class PasswordFile:
    """Lines of ``name:hash``; read again when the file changes.

    A change that cannot be read leaves what was known, and is told in the log.

    Args:
        path: of the file.

    Raises:
        SettingsError: it cannot be read; the message names the line and the fix.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = Lock()
        self._under_way = BoundedSemaphore(_PASSWORDS_UNDER_WAY)
        self._at_once = BoundedSemaphore(_PASSWORDS_AT_ONCE)
        self._signature = _signature(path)
        self._users = read_passwords(path)
        if not self._users.hashes:
            log.warning("%s has no line yet, so nobody can sign in with a password", path)

    def verify(self, name: str, password: str) -> bool:
        """Whether the file has this user with this password.

        Takes about 50 ms, for unknown names as well; once a password was right, microseconds.

        Raises:
            _BusyError: many passwords are being looked at; this one was not.
        """
        users = self._current()
        digest = users.digest(name, password)
        if users.has_shown(name, digest):
            return True
        # Those who find no place leave at once: waiting, they would take all threads.
        if not self._under_way.acquire(blocking=False):
            raise _BusyError
        try:
            with self._at_once:
                if users.has_shown(name, digest):
                    return True
                right = check_password_hash(users.hashes.get(name, users.nobodys), password)
        finally:
            self._under_way.release()
        if not right or name not in users.hashes:
            return False
        users.shown[name] = digest
        return True

    def _current(self) -> _Users:
        with self._reading:
            signature = _signature(self._path)
            if signature != self._signature:
                self._signature = signature
                try:
                    self._users = read_passwords(self._path)
                except SettingsError as error:
                    log.error("%s; until then the passwords are those from before", error)
                else:
                    log.info("%s was read again", self._path)
            return self._users


def _signature(path: Path) -> tuple[int, int, int] | None:
    """What changes with the file; None while it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_passwords(path: Path) -> _Users:
    """Read a password file. Its lines are never told: they may hold a password by mistake.

    Raises:
        SettingsError: see :class:`PasswordFile`.
    """
    setting = "SNAPSHOT_DASHBOARD_PASSWORD_FILE"
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise SettingsError(
            f"{setting}: {path} cannot be read ({error.strerror}); {_MAKE_A_LINE} into it"
        ) from None
    hashes: dict[str, str] = {}
    seen: dict[str, int] = {}
    methods: Counter[str] = Counter()
    for number, raw in enumerate(lines, start=1):

        def wrong(what: str, fix: str = _MAKE_A_LINE, number: int = number) -> SettingsError:
            return SettingsError(f"{setting}: {path}, line {number}: {what}; {fix}")

        try:
            line = raw.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise wrong("this is not UTF-8", "save the file as UTF-8") from None
        if not line or line.startswith("#"):
            continue
        name, colon, hashed = line.partition(":")
        if not colon:
            raise wrong("there is no colon")
        if problem := _name_problem(name):
            raise wrong(problem)
        if name in seen:
            raise wrong(f"{name!r} is also in line {seen[name]}", "remove one of them")
        if not _HASH.fullmatch(hashed):
            raise wrong(f"what {name!r} has behind the colon is no hash")
        method = hashed.partition("$")[0]
        # Numbers that do not go together are found when the first of their kind is used.
        if method not in methods:
            try:
                check_password_hash(hashed, "")
            except (ValueError, MemoryError, OverflowError):
                raise wrong(f"the hash of {name!r} cannot be computed here") from None
        methods[method] += 1
        hashes[name], seen[name] = hashed, number
    usual = methods.most_common(1)[0][0] if methods else _NOBODYS_METHOD
    return _Users(hashes, generate_password_hash(secrets.token_hex(), usual))


# --- what browsers are told ----------------------------------------------------------------------

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Whatever else is served shows what people did.
_WITHOUT_DATA = re.compile(r"(text|application)/(css|javascript)|(image|font)/.*")


def content_security_policy(script_hashes: Iterable[str]) -> str:
    """What a page may load: its own, and these inline scripts.

    Args:
        script_hashes: as ``'sha256-…'``, with the quotes.
    """
    rules = {
        "default-src": ["'self'"],
        "script-src": ["'self'", *script_hashes],
        # Plotly and AG Grid set styles of their own.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    }
    return "; ".join(" ".join([name, *sources]) for name, sources in rules.items())


def install_headers(server: flask.Flask, csp: Callable[[], str]) -> None:
    """Put the security headers on every answer.

    Args:
        server: gets them.
        csp: the content security policy; asked at each answer.
    """

    def protect(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = csp()
        if not _WITHOUT_DATA.fullmatch(response.mimetype or ""):
            response.headers["Cache-Control"] = "no-store"
        return response

    server.after_request(protect)
