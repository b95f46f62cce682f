"""From usage to the documents that Redis keeps: one JSON text per bucket and host.

The format is fixed, because other programs read the documents: see docs/documents.md. The chain:
aggregates → usage → documents. Adding a number: see CONTRIBUTING. Keys, expiry and everything else
about Redis belong to the store.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from snapshot_assets.domain.measures import Document, Measure, Resolution
from snapshot_assets.domain.time import bucket_iso
from snapshot_assets.domain.usage import MICRO, UNKNOWN, Entries, Ints, MachineCount, Usage

# The text of every settled document ends like this. A live refresh checks the ending and does not
# overwrite settled documents.
SETTLED_ENDING = '"stage":"settled"}}'
# The names of the numbers in the cpu and in the mem part: of users; of the machine: used, capacity.
_FIELDS: tuple[tuple[Measure, str, tuple[str, str]], ...] = (
    ("cpu", "cpu_norm", ("cpu_norm", "cores")),
    ("mem", "rss", ("used", "total")),
)


def documents(usage: Usage) -> pd.DataFrame:
    """Write the usage as documents, one for each bucket and host.

    The text is put together from pieces that are encoded once per (host, username, comm). Building
    a dict for each entry took eight times as long, nearly all of it in the garbage collector.

    Args:
        usage: any hosts and buckets.

    Returns:
        One row per document, as the schema
        :class:`~snapshot_assets.domain.schemas.SnapshotDocuments`, in the order of the usage.
        ``other`` is the rounded total minus the rounded entries, so each document adds up to the
        last digit. The largest entries come first; equal entries are ordered by username and comm.
        ``machine`` has what the kernel counted, and only that.
    """
    cpu, mem = _parts(usage)
    bodies = [
        f'{{"cpu":{cpu_text},"mem":{mem_text},"meta":{meta}}}'.encode()
        for cpu_text, mem_text, meta in zip(
            cpu.texts(), mem.texts(), _meta_texts(usage), strict=True
        )
    ]
    return pd.DataFrame(
        {
            "bucket_start": usage.start,
            "host": pd.Series([usage.hosts[i] for i in usage.host_index], dtype=object),
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
    """Whether entries and ``other`` of a parsed document add up to the total, in millionths."""
    for part, field, _ in _FIELDS:
        listed = [*document[part]["user"], document[part]["other"]]
        total = round(document[part]["command"][field] * MICRO)
        if sum(round(entry[field] * MICRO) for entry in listed) != total:
            return False
    return True


def parsed_documents(usage: Usage, resolution: Resolution = "5min") -> list[Document]:
    """The documents of :func:`documents` as dictionaries, without writing and parsing JSON text.

    Args:
        usage: any hosts and buckets, or longer intervals.
        resolution: of the usage. Intervals longer than a bucket have no counts, and their ``meta``
            has the resolution instead.

    Returns:
        A dictionary for each bucket (or interval) and host, in the order of the usage.
    """
    cpu, mem = _parts(usage)
    metas = _metas(usage)
    if resolution != "5min":
        metas = [meta | {"resolution": resolution} for meta in metas]
    return [
        {"cpu": cpu_part, "mem": mem_part, "meta": meta}
        for cpu_part, mem_part, meta in zip(cpu.dicts(), mem.dicts(), metas, strict=True)
    ]


def _parts(usage: Usage) -> list[_Part]:
    timestamps = [bucket_iso(start) for start in usage.start.tolist()]
    return [_Part(usage, *fields, timestamps) for fields in _FIELDS]


def _metas(usage: Usage) -> list[Document]:
    """The ``meta`` of each document."""
    columns = _meta_columns(usage)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _meta_texts(usage: Usage) -> list[str]:
    """The ``meta`` of each document as JSON text: numbers, and the stage in quotes."""
    columns = _meta_columns(usage)
    fields = ",".join(f'"{name}":' + ('"%s"' if name == "stage" else "%r") for name in columns)
    template = f"{{{fields}}}"
    return [template % row for row in zip(*columns.values(), strict=True)]


def _meta_columns(usage: Usage) -> dict[str, list[Any]]:
    """The fields of ``meta``; the stage comes last, see :data:`SETTLED_ENDING`."""
    return {
        "coverage": (usage.coverage / MICRO).tolist(),
        **{count: values.tolist() for count, values in usage.counts.items()},
        "stage": ["settled" if settled else "live" for settled in usage.settled.tolist()],
    }


class _Part:
    """The ``cpu`` or the ``mem`` of all documents."""

    def __init__(
        self,
        usage: Usage,
        measure: Measure,
        field: str,
        machine_fields: tuple[str, str],
        timestamps: list[str],
    ) -> None:
        listed = usage.entries[measure]
        # Owners are sorted, so their positions order entries of equal size.
        listed = listed.at(np.lexsort((listed.owner_index, -listed.micro, listed.bucket_index)))
        self.total = usage.totals[measure]
        self.other = usage.others(measure)
        self.entries: Ints = np.bincount(listed.bucket_index, minlength=len(usage)).astype(np.int64)
        self._usage = usage
        self._listed = listed
        self._field = field
        self._values: list[float] = (listed.micro / MICRO).tolist()
        self._timestamps = timestamps
        self._machines = _machines(usage.machine[measure], *machine_fields)

    def texts(self) -> list[str]:
        """The part's JSON for each document."""
        field = self._field
        owners = _owner_texts(self._usage, self._listed)
        texts = []
        for rows, total, other, machine, timestamp in self._each():
            user = ",".join(
                [
                    f'{{"{field}":{value!r}{owner}{timestamp}"}}'
                    for value, owner in zip(self._values[rows], owners[rows], strict=True)
                ]
            )
            texts.append(
                f'{{"command":{{"{field}":{total!r},"timestamp":"{timestamp}"}},'
                f'"user":[{user}],"other":{{"{field}":{other!r}}}{_machine_text(machine)}}}'
            )
        return texts

    def dicts(self) -> list[Document]:
        """The part of each document as a dictionary; the same content as :meth:`texts`."""
        field, usage = self._field, self._usage
        owners = [usage.owners[i] for i in self._listed.owner_index.tolist()]
        hosts = [usage.hosts[i] for i in usage.host_index.tolist()]
        return [
            {
                "command": {field: total, "timestamp": timestamp},
                "user": [
                    {
                        field: value,
                        "username": username,
                        "comm": comm,
                        "host": host,
                        "timestamp": timestamp,
                    }
                    for value, (username, comm) in zip(
                        self._values[rows], owners[rows], strict=True
                    )
                ],
                "other": {field: other},
                **({"machine": machine} if machine else {}),
            }
            for host, (rows, total, other, machine, timestamp) in zip(
                hosts, self._each(), strict=True
            )
        ]

    def _each(self) -> Iterator[tuple[slice, float, float, dict[str, float], str]]:
        """For each document: the slice of its entries, total, other, machine, timestamp."""
        ends = np.cumsum(self.entries)
        return zip(
            map(slice, (ends - self.entries).tolist(), ends.tolist()),
            (self.total / MICRO).tolist(),
            (self.other / MICRO).tolist(),
            self._machines,
            self._timestamps,
            strict=True,
        )


def _machines(count: MachineCount, used_field: str, capacity_field: str) -> list[dict[str, float]]:
    """For each document what is known of the machine; empty where nothing is known."""
    found: list[dict[str, float]] = [{} for _ in count.used]
    for machine, used in zip(found, count.used.tolist(), strict=True):
        if used != UNKNOWN:
            machine[used_field] = used / MICRO
    for machine, capacity in zip(found, count.capacity.tolist(), strict=True):
        if capacity != UNKNOWN:
            # Cores are counted, memory is measured.
            whole = capacity_field == "cores" and capacity % MICRO == 0
            machine[capacity_field] = capacity // MICRO if whole else capacity / MICRO
    return found


def _machine_text(machine: Mapping[str, float]) -> str:
    """The machine's part of a document as JSON text; nothing if nothing is known."""
    if not machine:
        return ""
    fields = ",".join([f'"{name}":{value!r}' for name, value in machine.items()])
    return f',"machine":{{{fields}}}'


def _owner_texts(usage: Usage, listed: Entries) -> list[str]:
    """For each entry the JSON text between the number and the digits of the timestamp."""
    width = max(len(usage.owners), 1)
    keys, code = np.unique(
        usage.host_index[listed.bucket_index] * width + listed.owner_index, return_inverse=True
    )
    texts = np.empty(len(keys), dtype=object)
    for i, key in enumerate(keys.tolist()):
        username, comm = usage.owners[key % width]
        texts[i] = (
            f',"username":{_text(username)},"comm":{_text(comm)},'
            f'"host":{_text(usage.hosts[key // width])},"timestamp":"'
        )
    found: list[str] = texts[code].tolist()
    return found


# Python's own encoder writes numbers with all digits, always in the same way.
_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
