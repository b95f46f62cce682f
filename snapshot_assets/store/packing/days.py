"""A settled day of a host's buckets as one text. Format: docs/frames.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from snapshot_assets.domain.measures import COUNTS, MEASURES, Measure
from snapshot_assets.domain.time import BUCKET_SECONDS, DAY_SECONDS
from snapshot_assets.domain.usage import Entries, Usage
from snapshot_assets.store.packing.machines import (
    MACHINE_OF_BUCKETS,
    packed_machine,
    unpacked_machine,
)
from snapshot_assets.store.packing.sections import (
    Column,
    Columns,
    Layout,
    Sections,
    pack,
    require_below,
)

DAY_VERSION = 3

_BUCKETS: Columns = (
    Column("start"),
    Column("coverage"),
    Column("snapshots"),
    Column("settled"),
    *map(Column, MEASURES),
    *MACHINE_OF_BUCKETS,
)
_ENTRIES: Columns = (Column("bucket_index"), Column("owner_index"), Column("micro"))
_LAYOUT = Layout(DAY_VERSION, BUCKET_SECONDS, (_BUCKETS, *([_ENTRIES] * len(MEASURES))))


def pack_day(usage: Usage, day: int) -> bytes:
    """The buckets of one host on the UTC day that starts at this epoch second, as one text."""
    whole = usage.with_needed_owners()
    buckets: dict[str, Any] = {
        **{measure: whole.totals[measure] for measure in MEASURES},
        **{count: whole.counts[count] for count in COUNTS},
        "start": whole.start - day,
        "coverage": whole.coverage,
        "settled": whole.settled,
        **packed_machine(whole.machine),
    }
    entries = [
        {
            "bucket_index": listed.bucket_index,
            "owner_index": listed.owner_index,
            "micro": listed.micro,
        }
        for listed in (whole.entries[measure] for measure in MEASURES)
    ]
    return pack(_LAYOUT, whole.owners, [buckets, *entries])


def unpack_day(
    host: str,
    blob: bytes,
    day: int,
    measures: Sequence[Measure] = MEASURES,
    machine: bool = True,
) -> Usage:
    """The inverse of :func:`pack_day`; only the requested measures have entries.

    What the kernel counted is left out unless ``machine`` asks for it.

    Raises:
        PackingError: the bytes are damaged or of an unknown version.
    """
    sections = Sections(blob, _LAYOUT)
    buckets = sections.table(0, () if machine else MACHINE_OF_BUCKETS)
    count = len(buckets["start"])
    owners = sections.owners()
    entries = {}
    for number, measure in enumerate(MEASURES, 1):
        found = sections.table(number) if measure in measures else sections.empty(number)
        require_below(found["bucket_index"], count)
        require_below(found["owner_index"], len(owners))
        entries[measure] = Entries(
            bucket_index=found["bucket_index"],
            owner_index=found["owner_index"],
            micro=found["micro"],
        )
    require_below(buckets["start"], DAY_SECONDS)
    return Usage(
        hosts=(host,),
        owners=owners,
        host_index=np.zeros(count, dtype=np.int64),
        start=buckets["start"] + day,
        coverage=buckets["coverage"],
        counts={count: buckets[count] for count in COUNTS},
        settled=buckets["settled"].astype(np.bool_),
        totals={measure: buckets[measure] for measure in MEASURES},
        entries=entries,
        machine=unpacked_machine(buckets) if machine else {},
    )
