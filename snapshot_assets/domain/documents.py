"""From usage to the documents that Redis keeps: one JSON text per bucket and host.

The layout is fixed, other programs read it: see docs/documents.md. Keys, expiry and everything
else about Redis is the store's business.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from snapshot_assets.domain.measures import Measure
from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.domain.usage import MICRO, Ints, Usage

# How the text of every settled document ends, by which a live refresh knows to leave it alone.
SETTLED_ENDING = '"stage":"settled"}}'
_LIVE_ENDING = '"stage":"live"}}'


def documents(usage: Usage) -> pd.DataFrame:
    """Write down what was used, a document for each bucket and host.

    The text is put together from pieces that are encoded once per (host, username, comm): building
    a dict per entry first took eight times as long, nearly all of it in the garbage collector.

    Args:
        usage: any hosts and buckets.

    Returns:
        A :class:`~snapshot_assets.domain.schemas.SnapshotDocuments` frame in the order of the
        usage. ``other`` is the rounded total minus the rounded entries, so each document sums up
        to the last digit. The largest entries come first, equal ones by username and comm.
    """
    timestamps = [bucket_iso(start) for start in usage.start.tolist()]
    cpu = _Part(usage, "cpu", "cpu_norm", timestamps)
    mem = _Part(usage, "mem", "rss", timestamps)
    bodies = [
        f'{{"cpu":{cpu_text},"mem":{mem_text},"meta":{{"coverage":{covered!r},'
        f'"snapshots":{snapshots},{SETTLED_ENDING if settled else _LIVE_ENDING}'.encode()
        for cpu_text, mem_text, covered, snapshots, settled in zip(
            cpu.texts(),
            mem.texts(),
            (usage.coverage / MICRO).tolist(),
            usage.snapshots.tolist(),
            usage.settled.tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(
        {
            "bucket_start": usage.start,
            "host": pd.Series([usage.hosts[code] for code in usage.host], dtype=object),
            "cpu_norm": cpu.total / MICRO,
            "cpu_norm_listed": (cpu.total - cpu.other) / MICRO,
            "cpu_norm_other": cpu.other / MICRO,
            "rss_gb": mem.total / MICRO,
            "rss_gb_listed": (mem.total - mem.other) / MICRO,
            "rss_gb_other": mem.other / MICRO,
            "entries": cpu.entries + mem.entries,
            "coverage": usage.coverage / MICRO,
            "body": pd.Series(bodies, dtype=object),
        }
    )


def sums_up(document: Mapping[str, Any]) -> bool:
    """Whether the entries and ``other`` of a parsed document are its total, in millionths."""
    for part, field in (("cpu", "cpu_norm"), ("mem", "rss")):
        listed = [*document[part]["user"], document[part]["other"]]
        total = round(document[part]["command"][field] * MICRO)
        if sum(round(entry[field] * MICRO) for entry in listed) != total:
            return False
    return True


class _Part:
    """The ``cpu`` or the ``mem`` of all documents."""

    def __init__(self, usage: Usage, measure: Measure, field: str, timestamps: list[str]) -> None:
        listed = usage.entries[measure]
        # Owners are sorted, so that their position decides between equals.
        order = np.lexsort((listed.owner, -listed.micro, listed.of))
        self.total = usage.totals[measure]
        self.other = usage.others(measure)
        self.entries: Ints = np.bincount(listed.of, minlength=len(usage)).astype(np.int64)
        self._field = field
        self._values: list[float] = (listed.micro[order] / MICRO).tolist()
        self._owners = _owner_texts(usage, listed.of[order], listed.owner[order])
        self._timestamps = timestamps

    def texts(self) -> list[str]:
        """The part's JSON for each document."""
        field = self._field
        ends = np.cumsum(self.entries).tolist()
        totals = (self.total / MICRO).tolist()
        others = (self.other / MICRO).tolist()
        texts = []
        first = 0
        for last, total, other, timestamp in zip(
            ends, totals, others, self._timestamps, strict=True
        ):
            user = ",".join(
                [
                    f'{{"{field}":{value!r}{owner}{timestamp}"}}'
                    for value, owner in zip(
                        self._values[first:last], self._owners[first:last], strict=True
                    )
                ]
            )
            texts.append(
                f'{{"command":{{"{field}":{total!r},"timestamp":"{timestamp}"}},'
                f'"user":[{user}],"other":{{"{field}":{other!r}}}}}'
            )
            first = last
        return texts


def _owner_texts(usage: Usage, of: Ints, owner: Ints) -> list[str]:
    """For each entry the JSON between its number and its timestamp's digits."""
    width = max(len(usage.owners), 1)
    keys, code = np.unique(usage.host[of] * width + owner, return_inverse=True)
    texts = np.empty(len(keys), dtype=object)
    for i, key in enumerate(keys.tolist()):
        username, comm = usage.owners[key % width]
        texts[i] = (
            f',"username":{_quoted(username)},"comm":{_quoted(comm)},'
            f'"host":{_quoted(usage.hosts[key // width])},"timestamp":"'
        )
    found: list[str] = texts[code].tolist()
    return found


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
