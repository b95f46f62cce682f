"""The options of one installation of the dashboard. Values only; no environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from snapshot_assets.domain.rules import AccountingRules

Network = IPv4Network | IPv6Network


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
