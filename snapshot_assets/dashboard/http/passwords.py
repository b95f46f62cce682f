"""The password file of the dashboard: its lines, and checking a password against them."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore, Lock

from werkzeug.security import check_password_hash, generate_password_hash

from snapshot_assets.errors import SettingsError

log = logging.getLogger(__name__)

_MAKE_A_LINE = "write name:hash as 'snapshot-assets dashboard-password NAME' prints it"
_HASH = re.compile(r"(scrypt:\d+:\d+:\d+|pbkdf2:\w+:\d+)\$[^$:\s]+\$(?:[0-9a-f]{2})+", re.ASCII)
_NOBODYS_METHOD = "scrypt"
# Half of the server's threads: a user whose password was checked before always gets a thread.
_PASSWORDS_UNDER_WAY = 4
# Each check takes a core and 32 MB for 50 ms.
_PASSWORDS_AT_ONCE = 2


class BusyError(Exception):
    """Too many passwords are being checked."""


def password_line(name: str, password: str) -> str:
    """The line of a password file for this user.

    Raises:
        ValueError: the name cannot stand in a line, or the password is empty.
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
    """The users of a password file, and the passwords that were right since it was read.

    Attributes:
        hashes: password hashes by user name.
        nobodys: a hash that no password fits, of the most frequent kind; for unknown names.
        verified: the keyed digest of each user's right password. The key is random and never leaves
            the process, so that a quick digest is safe.
    """

    hashes: dict[str, str]
    nobodys: str
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    verified: dict[str, bytes] = field(default_factory=dict, repr=False)

    def digest(self, name: str, password: str) -> bytes:
        """A keyed digest of this user's password."""
        # A name cannot contain a colon.
        return hashlib.blake2b(f"{name}:{password}".encode(), key=self.key).digest()

    def was_verified(self, name: str, digest: bytes) -> bool:
        """Whether exactly this password was right before."""
        return hmac.compare_digest(self.verified.get(name, b""), digest)


class PasswordFile:
    """Lines of ``name:hash``; read again when the file changes.

    If the changed file has an error, the users stay as they were, and the log has the error.

    Args:
        path: of the file.

    Raises:
        SettingsError: the file has an error; the message names the line and the fix.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reading = Lock()
        self._under_way = BoundedSemaphore(_PASSWORDS_UNDER_WAY)
        self._at_once = BoundedSemaphore(_PASSWORDS_AT_ONCE)
        self._signature = _signature(path)
        self._users = read_passwords(path)
        if not self._users.hashes:
            log.warning("%s has no user yet: no password can sign in", path)

    def verify(self, name: str, password: str) -> bool:
        """Whether the file has this user with this password.

        The first check of a password takes about 50 ms, also for unknown names. A repeated check of
        a right password takes microseconds.

        Raises:
            BusyError: too many other passwords are being checked; this one was not checked.
        """
        users = self._current()
        digest = users.digest(name, password)
        if users.was_verified(name, digest):
            return True
        # Requests beyond the limit fail at once: if they waited, they would take all threads.
        if not self._under_way.acquire(blocking=False):
            raise BusyError
        try:
            with self._at_once:
                if users.was_verified(name, digest):
                    return True
                right = check_password_hash(users.hashes.get(name, users.nobodys), password)
        finally:
            self._under_way.release()
        if not right or name not in users.hashes:
            return False
        users.verified[name] = digest
        return True

    def _current(self) -> _Users:
        with self._reading:
            signature = _signature(self._path)
            if signature != self._signature:
                self._signature = signature
                try:
                    self._users = read_passwords(self._path)
                except SettingsError as error:
                    log.error(
                        "%s; until it is mended, the passwords from before remain valid", error
                    )
                else:
                    log.info("%s was read again", self._path)
            return self._users


def _signature(path: Path) -> tuple[int, int, int] | None:
    """A value that changes with the file; None while the file cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_passwords(path: Path) -> _Users:
    """Read a password file. No message contains a line: it may hold a password by mistake.

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
    lines_by_name: dict[str, int] = {}
    methods: Counter[str] = Counter()
    for number, raw in enumerate(lines, start=1):

        def wrong(problem: str, fix: str = _MAKE_A_LINE, number: int = number) -> SettingsError:
            return SettingsError(f"{setting}: {path}, line {number}: {problem}; {fix}")

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
        if name in lines_by_name:
            raise wrong(f"{name!r} is also in line {lines_by_name[name]}", "remove one of them")
        if not _HASH.fullmatch(hashed):
            raise wrong(f"the text after {name!r} and its colon is not a hash")
        method = hashed.partition("$")[0]
        # The first hash of each kind is computed, to find parameters that do not work here.
        if method not in methods:
            try:
                check_password_hash(hashed, "")
            except (ValueError, MemoryError, OverflowError):
                raise wrong(f"the hash of {name!r} cannot be computed here") from None
        methods[method] += 1
        hashes[name], lines_by_name[name] = hashed, number
    usual = methods.most_common(1)[0][0] if methods else _NOBODYS_METHOD
    return _Users(hashes, generate_password_hash(secrets.token_hex(), usual))
