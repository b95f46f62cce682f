"""The options of one installation of the dashboard, and how they are written as text.

Values only; :mod:`snapshot_assets.settings` reads them from the environment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from snapshot_assets.domain.rules import AccountingRules

Network = IPv4Network | IPv6Network

# Any client can set these headers, or proxies use them for another purpose. None of them proves who
# the user is.
_NO_USER_HEADERS = re.compile(
    r"authorization|cookie|forwarded|from|host|origin|referer|user-agent|via|"
    r"x-forwarded-(by|for|host|port|proto)|x-real-ip",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """Who may open the pages. Without a header and a file: everybody who reaches the port.

    Attributes:
        user_header: the request header in which a reverse proxy names the user; accepted only from
            the trusted proxies.
        trusted_proxies: networks that the proxy's connections come from.
        password_file: lines of ``name:hash`` for HTTP Basic, read again when the file changes.
        open_metrics: whether everybody may read ``/metrics``.
    """

    user_header: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    password_file: Path | None = None
    open_metrics: bool = False

    @property
    def authenticates(self) -> bool:
        """Whether the dashboard rejects a request without a user."""
        return self.user_header is not None or self.password_file is not None


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """What an installation can choose.

    Attributes:
        title: heading of the pages.
        url_prefix: the path under which the pages are, with a slash at both ends.
        poll_seconds: time between two checks of an open page for new data.
        stale_seconds: pages warn if the newest bucket ended longer ago.
        max_gap_seconds: snapshots further apart leave a gap; as the accounting has it.
        capacity_file: a CSV file ``host,cores,memory_gb``, read again when it changes.
        access: who may open the pages.
    """

    title: str = "Who uses which machine"
    url_prefix: str = "/"
    poll_seconds: float = 15.0
    stale_seconds: float = 900.0
    max_gap_seconds: float = AccountingRules().max_gap_seconds
    capacity_file: Path | None = None
    access: AccessOptions = field(default_factory=AccessOptions)


def url_path(text: str) -> str:
    """The path with a slash at both ends.

    Raises:
        ValueError: the text is not a path; the message says what to write.
    """
    segments = text.strip().strip("/").split("/")
    if segments == [""]:
        return "/"
    for segment in segments:
        if not re.fullmatch(r"[A-Za-z0-9._~-]+", segment) or segment in {".", ".."}:
            raise ValueError("write a path of letters, digits and -._~, such as /usage/")
    return f"/{'/'.join(segments)}/"


def user_header(name: str) -> str:
    """The name, if a reverse proxy can name the user in this request header.

    Raises:
        ValueError: it cannot; the message says what to write.
    """
    # WSGI does not distinguish "_" from "-", so a client could send the other spelling. Servers
    # therefore drop headers with an underscore.
    if not re.fullmatch(r"[A-Za-z0-9-]+", name):
        raise ValueError("write a header of letters, digits and dashes, such as X-Remote-User")
    if _NO_USER_HEADERS.fullmatch(name):
        raise ValueError(
            "others than the proxy set this header too; choose another, such as X-Remote-User"
        )
    return name


def networks(value: Any) -> Any:
    """The addresses or networks in a text, separated by commas; other values as they are.

    Raises:
        ValueError: one is not an address or network; the message says what to write.
    """
    if not isinstance(value, str):
        return value
    found = []
    for part in (part.strip() for part in value.split(",") if part.strip()):
        try:
            network = ip_network(part)
        except ValueError as error:
            raise ValueError(
                f"write addresses or networks, such as 127.0.0.1,10.1.0.0/24: {error}"
            ) from None
        if network.prefixlen == 0:
            raise ValueError(
                "this network contains every client; write the addresses of the proxies"
            )
        found.append(network)
    return tuple(found)
