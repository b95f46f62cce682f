"""Queries for a person who looks at the table: which hosts it has, and what its two times say.

They read little and find out about the whole table. No figure is made of them.
"""

from __future__ import annotations

import sqlalchemy as sa

from snapshot_assets.source.kinds import LATEST_EPOCH
from snapshot_assets.source.narrowing import between
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.values import text


def spans(source: ProcessSource) -> dict[str, tuple[float, float]]:
    """For each host the times of its oldest and its newest row, epoch seconds.

    The database looks at all rows, or at an index of all rows. A time that cannot be is left out.

    Raises:
        SourceOutageError, SourceError: as all queries of the source.
    """
    time, host = source.columns["snapshot_time_epoch"], source.columns["host"]
    # Grouped by bytes, because a case-insensitive collation would merge "web" with "WEB".
    query = (
        sa.select(sa.func.min(host), sa.func.min(time), sa.func.max(time))
        .where(*between(time, 0, LATEST_EPOCH), host.is_not(None))
        .group_by(sa.cast(host, sa.LargeBinary))
    )
    with source.connect() as connection:
        found = connection.execute(query).all()
    return {
        name: (float(first), float(last))
        for raw, first, last in found
        if (name := text(raw)) is not None
    }
