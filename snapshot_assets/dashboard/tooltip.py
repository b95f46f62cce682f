"""The answer to a chart's tooltip: who used how much on one host in one interval."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from snapshot_assets.dashboard.figures import printable
from snapshot_assets.dashboard.http.metrics import count_store_failure
from snapshot_assets.dashboard.pages.page import Site, machine_texts
from snapshot_assets.dashboard.queries.intervals import Share, host_interval
from snapshot_assets.domain.measures import STEP_SECONDS
from snapshot_assets.errors import SnapshotAssetsError

log = logging.getLogger(__name__)

_SHARES_MOST = 5
_LATEST = 2**40


def tooltip_answer(site: Site, given: Mapping[str, str]) -> tuple[dict[str, Any], int]:
    """The answer to ``/bucket?host=…&at=…&step=…`` and its HTTP status.

    Keys: ``covered``; if true, also ``cores`` and ``gb`` (means), ``machine`` (sentences about what
    the kernel counted), ``coverage`` (0 to 1), ``settled``, and ``users`` and ``commands``, each a
    list of ``name``, ``cores`` and ``gb``. Or ``error``. Unprintable characters of names are
    replaced; the browser shows names as text.
    """
    try:
        host, at, step = given["host"], int(given["at"]), int(given["step"])
        (resolution,) = [name for name, seconds in STEP_SECONDS.items() if seconds == step]
    except (KeyError, ValueError):
        return {"error": "needs host, at (epoch seconds) and step (300, 3600 or 86400)"}, 400
    if not 0 <= at < _LATEST:
        return {"error": "at is too far away"}, 400
    try:
        found = host_interval(site.reader, host, at, resolution)
    except SnapshotAssetsError as error:
        count_store_failure(error)
        log.warning("no answer for a tooltip", exc_info=True)
        return {"error": "the data store does not answer"}, 503
    if found is None:
        return {"covered": False}, 200
    return {
        "covered": True,
        "cores": found.cores,
        "gb": found.gb,
        "machine": machine_texts(found.machine),
        "coverage": found.coverage,
        "settled": found.settled,
        "users": [_row(share) for share in found.users[:_SHARES_MOST]],
        "commands": [_row(share) for share in found.commands[:_SHARES_MOST]],
    }, 200


def _row(share: Share) -> dict[str, Any]:
    return {"name": printable(share.name), "cores": share.cores, "gb": share.gb}
