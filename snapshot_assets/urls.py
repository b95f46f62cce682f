"""URLs that hold a password: taken apart with care, and texts without any part of a password.

A driver that reads an unescaped password differently from what its author meant takes a piece of
the password for a port or a host, and prints the piece. So the login is split off here first; what
a driver reads has to be the same. No driver belongs here.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, quote_plus, unquote

# No text that people see repeats so many characters of a password.
_SHORTEST_PART = 4
_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.\-]*)://")
_ADDRESS = re.compile(
    r"(?P<hosts>(?:\[[0-9A-Za-z:.%]+\]|[^\[\]/?#@:,\s]*)(?::\d{1,5})?"
    r"(?:,(?:\[[0-9A-Za-z:.%]+\]|[^\[\]/?#@:,\s]+)(?::\d{1,5})?)*)"
    r"(?P<path>/[^?]*)?(?P<query>\?.*)?",
    re.DOTALL,
)
# What to do with a password that has such characters.
ESCAPE: Final = (
    "In the user and the password write a percent sign as %25, a slash as %2F, a question mark as "
    "%3F, a hash as %23, an at sign as %40, a colon as %3A, brackets as %5B and %5D, a space as %20"
)
_OPTION = re.compile(r"\?[\w.-]*=")
_SECRET_OPTION = re.compile(r"pass|pwd|secret|token|credential|odbc_connect", re.IGNORECASE)


class UnreadableUrlError(ValueError):
    """The URL cannot be taken apart safely. The message shows no more of it than its scheme."""


@dataclass(frozen=True, slots=True)
class SplitUrl:
    """A URL, taken apart.

    Attributes:
        scheme: the text before ``://``.
        username: decoded; None without a login.
        password: decoded; None without one.
        hosts: addresses, separated by commas; empty if there is only a path.
        path: with its slash; empty without one.
        query: with its question mark; empty without one.
    """

    scheme: str
    username: str | None
    password: str | None
    hosts: str
    path: str
    query: str

    def agrees(self, username: object, password: object) -> bool:
        """Whether a driver has read the same login; None and an empty text are the same."""
        return (self.username or "", self.password or "") == (username or "", password or "")


def split_url(url: str, setting: str, example: str) -> SplitUrl:
    """Take a URL apart; the login ends at the last ``@``.

    Args:
        url: the URL.
        setting: the setting that holds the URL, for the message.
        example: what the URL looks like, for the message.

    Raises:
        UnreadableUrlError: there is no scheme, or what follows the login is no address.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise unreadable(url, setting, example)
    rest = url[scheme.end() :]
    login, at, tail = ("", "", rest) if rest.startswith("/") else rest.rpartition("@")
    found = _ADDRESS.fullmatch(tail)
    # With an option in the login, the @ may belong to a password among the options.
    if found is None or _OPTION.search(login):
        raise unreadable(url, setting, example)
    if any(int(port) > 65_535 for port in re.findall(r":(\d+)", found["hosts"])):
        raise unreadable(url, setting, example)
    user, colon, password = login.partition(":")
    return SplitUrl(
        scheme[1],
        unquote(user) if at else None,
        unquote(password) if colon else None,
        found["hosts"],
        found["path"] or "",
        found["query"] or "",
    )


def unreadable(url: str, setting: str, example: str) -> UnreadableUrlError:
    """The error for a URL that cannot be read; it shows nothing of the URL but its scheme."""
    scheme = _SCHEME.match(url)
    what = f"a {scheme[1]}:// URL, not shown as it" if scheme else "not shown, as it has no :// and"
    return UnreadableUrlError(
        f"{setting} ({what} may hold a password) cannot be read; it looks like {example}. {ESCAPE}"
    )


def secrets_of(*urls: str | None, users: bool = False) -> frozenset[str]:
    """The passwords in these URLs, as they are written; of an unreadable URL, all that may be one.

    Args:
        urls: URLs; None and text without a URL have no password.
        users: whether the names of users are secrets, too.
    """
    return frozenset(secret for url in urls if url for secret in _secrets(url, users))


def masked(text: str, secrets: Iterable[str]) -> str:
    """The text with ``***`` in place of each secret, and of each part with four characters or more.

    Secrets are found as they are, percent-encoded as a whole or in places, decoded, and escaped as
    in Python, JSON or HTML.
    """
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)} - {""}
    if not spellings:
        return text
    parts = {
        spelling[i : i + _SHORTEST_PART]
        for spelling in spellings
        for i in range(max(len(spelling) - _SHORTEST_PART, 0) + 1)
    }
    hidden = bytearray(len(text))
    decoded, places = _decoded(text)
    for part in parts:
        for at in _all_places(part, text):
            hidden[at : at + len(part)] = b"\1" * len(part)
        for at in _all_places(part, decoded):
            for start, end in places[at : at + len(part)]:
                hidden[start:end] = b"\1" * (end - start)
    # Stars beside the mask must not complete a part of a password that has stars.
    mask = "(hidden)" if any("*" in spelling for spelling in spellings) else "***"
    runs = re.finditer(b"\1+|\0+", hidden)
    return "".join(mask if hidden[r.start()] else text[r.start() : r.end()] for r in runs)


def without_login(url: str) -> str:
    """The URL without user and password, if it has a login."""
    scheme = _SCHEME.match(url)
    if scheme is None or "@" not in url[scheme.end() :]:
        return url
    return f"{scheme[0]}{url[scheme.end() :].rpartition('@')[2]}"


def _secrets(url: str, users: bool) -> Iterator[str]:
    # Several schemes follow each other in URLs such as simplecache::ftp://user:password@host/.
    for scheme in re.finditer("://", url):
        login, at, tail = url[scheme.end() :].rpartition("@")
        user, colon, password = login.partition(":")
        if colon:
            yield password
        if at and users:
            yield user
        options = tail.partition("?")[2].split("&")
        for i, option in enumerate(options):
            if _SECRET_OPTION.search(option.partition("=")[0]):
                yield option.partition("=")[2]
                yield "&".join(options[i:]).partition("=")[2]  # the & may belong to the password


def _spellings(secret: str) -> Iterator[str]:
    for plain in {secret, unquote(secret)}:
        yield plain
        yield quote(plain, safe="")
        yield quote_plus(plain, safe="")
        yield repr(plain)[1:-1]
        yield repr(plain.encode("utf-8", "replace"))[2:-1]
        yield json.dumps(plain)[1:-1]
        yield html.escape(plain)


def _decoded(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without percent-encoding, and for each character its place in the text."""
    found: list[str] = []
    places: list[tuple[int, int]] = []
    for one in re.finditer(r"(?:%[0-9A-Fa-f]{2})+|.", text, re.DOTALL):
        characters = unquote(one[0])
        found.append(characters)
        places += [one.span()] * len(characters)
    return "".join(found), places


def _all_places(part: str, text: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)
