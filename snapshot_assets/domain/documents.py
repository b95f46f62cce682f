"""From aggregates to the documents that Redis keeps: one JSON text per bucket and host.

The layout is fixed, other programs read it: see docs/documents.md. Keys, expiry and everything
else about Redis is the store's business.
"""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from snapshot_assets.domain.rules import DocumentRules
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso

Stage = Literal["live", "settled"]

DECIMALS = 6
MICRO = 10**DECIMALS
# How the text of every settled document ends, by which a live refresh knows to leave it alone.
SETTLED_ENDING = '"stage":"settled"}}'


def documents(aggregates: pd.DataFrame, rules: DocumentRules, stage: Stage) -> pd.DataFrame:
    """Build the documents of all buckets and hosts in the aggregates.

    The text is put together from pieces that are encoded once per (host, username, comm): building
    a dict per entry first took eight times as long, nearly all of it in the garbage collector.

    Args:
        aggregates: a :class:`~snapshot_assets.domain.stages.FiveMinuteAggregates` frame in its
            order.
        rules: which entries are listed by name.
        stage: ``live`` while rows may still arrive, ``settled`` once the day is over.

    Returns:
        A :class:`~snapshot_assets.domain.stages.SnapshotDocuments` frame. Numbers are rounded to
        6 decimals, and ``other`` is the rounded total minus the rounded entries, so each document
        sums up to the last digit.
    """
    first_rows = np.flatnonzero(~aggregates.duplicated(["bucket_start", "host"]).to_numpy())
    heads = aggregates.iloc[first_rows]
    buckets = heads["bucket_start"].dt.as_unit("s").astype("int64").to_numpy()
    host_names = heads["host"].cat.categories.tolist()
    host_codes = heads["host"].cat.codes.to_numpy()
    coverage = np.minimum(heads["covered_seconds"].to_numpy() / BUCKET_SECONDS, 1).round(DECIMALS)

    of_row = np.repeat(np.arange(len(first_rows)), np.diff(np.append(first_rows, len(aggregates))))
    timestamps = [bucket_iso(bucket) for bucket in buckets.tolist()]
    owners = _owner_texts(aggregates)
    cpu = _Part(aggregates, "cpu_norm", rules.cpu_threshold_cores, of_row, timestamps)
    mem = _Part(aggregates, "rss_gb", rules.mem_threshold_gb, of_row, timestamps)
    bodies = [
        f'{{"cpu":{cpu_text},"mem":{mem_text},"meta":{{"coverage":{covered!r},'
        f'"snapshots":{snapshots},"stage":"{stage}"}}}}'.encode()
        for cpu_text, mem_text, covered, snapshots in zip(
            cpu.texts("cpu_norm", owners),
            mem.texts("rss", owners),
            coverage.tolist(),
            heads["snapshots"].tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(
        {
            "bucket_start": buckets,
            "host": pd.Series([host_names[code] for code in host_codes], dtype=object),
            "cpu_norm": cpu.total / MICRO,
            "cpu_norm_listed": cpu.listed / MICRO,
            "cpu_norm_other": cpu.other / MICRO,
            "rss_gb": mem.total / MICRO,
            "rss_gb_listed": mem.listed / MICRO,
            "rss_gb_other": mem.other / MICRO,
            "entries": cpu.entries + mem.entries,
            "coverage": coverage,
            "body": pd.Series(bodies, dtype=object),
        }
    )


def _owner_texts(aggregates: pd.DataFrame) -> npt.NDArray[np.object_]:
    """For each row the JSON between an entry's number and its timestamp's digits."""

    def quoted(column: str) -> tuple[npt.NDArray[np.int64], list[str]]:
        names = aggregates[column].cat
        texts = [json.dumps(name, ensure_ascii=False) for name in names.categories]
        return names.codes.to_numpy().astype(np.int64), texts

    host, hosts = quoted("host")
    username, usernames = quoted("username")
    comm, comms = quoted("comm")
    # Idle rows have code -1: one more text that no document ever shows.
    usernames.append("null")
    comms.append("null")
    key = (host * len(usernames) + username % len(usernames)) * len(comms) + comm % len(comms)
    code, keys = pd.factorize(key)
    texts = np.empty(len(keys), dtype=object)
    for i, owner in enumerate(keys.tolist()):
        rest, c = divmod(owner, len(comms))
        h, u = divmod(rest, len(usernames))
        texts[i] = f',"username":{usernames[u]},"comm":{comms[c]},"host":{hosts[h]},"timestamp":"'
    return texts[code]


class _Part:
    """The ``cpu`` or the ``mem`` of all documents, counted in whole millionths."""

    def __init__(
        self,
        aggregates: pd.DataFrame,
        column: str,
        threshold: float,
        of_row: npt.NDArray[np.int64],
        timestamps: list[str],
    ) -> None:
        value = aggregates[column].to_numpy()
        micro = np.rint(value * MICRO).astype(np.int64)
        rows = np.flatnonzero((value > threshold) & (micro > 0))
        # Largest first; the frame's own order, by username and comm, decides between equals.
        rows = rows[np.lexsort((rows, -value[rows], of_row[rows]))]
        count = len(timestamps)
        self.total = _micro_sums(of_row, value, count)
        self.listed = np.zeros(count, dtype=np.int64)
        np.add.at(self.listed, of_row[rows], micro[rows])
        self.other = self.total - self.listed
        self.entries = np.bincount(of_row[rows], minlength=count)
        self._rows = rows
        self._values: list[float] = (micro[rows] / MICRO).tolist()
        self._timestamps = timestamps

    def texts(self, field: str, owners: npt.NDArray[np.object_]) -> list[str]:
        """The part's JSON for each document."""
        entry_owners = owners[self._rows].tolist()
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
                        self._values[first:last], entry_owners[first:last], strict=True
                    )
                ]
            )
            texts.append(
                f'{{"command":{{"{field}":{total!r},"timestamp":"{timestamp}"}},'
                f'"user":[{user}],"other":{{"{field}":{other!r}}}}}'
            )
            first = last
        return texts


def _micro_sums(
    of_row: npt.NDArray[np.int64], value: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.int64]:
    """Each document's total in millionths, rounded once, from the unrounded values."""
    return np.rint(np.bincount(of_row, weights=value, minlength=count) * MICRO).astype(np.int64)
