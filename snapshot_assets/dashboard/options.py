"""How one installation of the dashboard differs from another. Values only; no environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class AccessOptions:
    """Who may look. Without a header and without a file, everybody who reaches the port.

    Attributes:
        user_header: the request header in which a reverse proxy names the user; believed only from
            the trusted proxies.
        trusted_proxies: networks that the proxy's connections come from.
        password_file: lines of ``name:hash`` for HTTP Basic, read again when the file changes.
        open_metrics: whether ``/metrics`` is told to everybody.
    """

    user_header: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    password_file: Path | None = None
    open_metrics: bool = False

    @property
    def authenticates(self) -> bool:
        """Whether a request without a name is refused."""
        return self.user_header is not None or self.password_file is not None


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """What can be chosen.

    Attributes:
        title: heads the pages.
        url_prefix: the path under which the pages are, with a slash at both ends.
        poll_seconds: how often a page asks whether there is news.
        stale_seconds: a newest bucket that ended longer ago is told as stale.
        capacity_file: a CSV file ``host,cores,memory_gb``, read again when it changes.
        access: who may look.
    """

    title: str = "Who uses which machine"
    url_prefix: str = "/"
    poll_seconds: float = 15.0
    stale_seconds: float = 900.0
    capacity_file: Path | None = None
    access: AccessOptions = field(default_factory=AccessOptions)
