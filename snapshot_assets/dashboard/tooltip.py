"""What a chart tells of one interval under the pointer: asked for when it is wanted, not before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from snapshot_assets.dashboard.figures import printable
from snapshot_assets.dashboard.health import count_store_failure
from snapshot_assets.dashboard.pages.page import Site
from snapshot_assets.dashboard.queries import Share, moment
from snapshot_assets.domain.measures import STEP_SECONDS
from snapshot_assets.errors import SnapshotAssetsError

log = logging.getLogger(__name__)

_SHARES_MOST = 5
_LATEST = 2**40


def told_moment(site: Site, given: Mapping[str, str]) -> tuple[dict[str, Any], int]:
    """The answer to ``/bucket?host=…&at=…&step=…`` and its HTTP status.

    Names are made printable; the browser shows them as text.
    """
    try:
        host, at, step = given["host"], int(given["at"]), int(given["step"])
        (resolution,) = [name for name, seconds in STEP_SECONDS.items() if seconds == step]
    except (KeyError, ValueError):
        return {"error": "needs host, at (epoch seconds) and step (300, 3600 or 86400)"}, 400
    if not 0 <= at < _LATEST:
        return {"error": "at is too far away"}, 400
    try:
        found = moment(site.reader, host, at, resolution)
    except SnapshotAssetsError as error:
        count_store_failure(error)
        log.warning("no answer for a tooltip", exc_info=True)
        return {"error": "the data store does not answer"}, 503
    if found is None:
        return {"start": at // step * step, "step": step, "covered": False}, 200
    return {
        "start": found.start,
        "step": found.step,
        "covered": True,
        "cores": found.cores,
        "gb": found.gb,
        "coverage": found.coverage,
        "settled": found.settled,
        "users": [_told(share) for share in found.users[:_SHARES_MOST]],
        "commands": [_told(share) for share in found.commands[:_SHARES_MOST]],
    }, 200


def _told(share: Share) -> dict[str, Any]:
    return {"name": printable(share.name), "cores": share.cores, "gb": share.gb}
