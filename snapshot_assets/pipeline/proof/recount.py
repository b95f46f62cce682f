"""The accounting a second time: SQL in DuckDB over Arrow tables.

The rules are in ``recount.sql`` and ``recount_buckets.sql``, beside this file. This module hands
them the rows and the limits and takes the result. It imports nothing of
:mod:`snapshot_assets.domain` and none of the product's readers, so that no mistake is shared with
what it checks. Where the rows come from is decided in :mod:`snapshot_assets.pipeline.proof.fetch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import pyarrow as pa
import pyarrow.compute as pc

from snapshot_assets.pipeline.proof.duck import database_of

_SCRIPTS = ("recount.sql", "recount_buckets.sql")
# The columns of the rows, and what the SQL calls those that are numbers.
ROW_TEXTS = ("host", "username", "comm")
ROW_NUMBERS = {
    "snapshot_time_epoch": "t",
    "pid": "pid",
    "cputimes": "cpu",
    "rss": "rss",
    "etimes": "etimes",
}
MACHINE_NUMBERS = {
    "snapshot_time_epoch": "t",
    "cores": "cores",
    "cpu_seconds": "cpu",
    "memory_bytes": "memory",
    "memory_used_bytes": "used",
    "boot_epoch": "boot",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers that the rules leave open, under the names of the contract.

    Attributes:
        max_gap: snapshots further apart than this leave a gap, seconds.
        slack: by how much ages and stamps may disagree, seconds.
        pass_seconds: stamps at most this far apart can be of one pass.
        pass_span: a pass is at most this long, seconds.
        theta: the collector hides processes below this many CPU-seconds; 0 if it hides none.
        excluded: accounts to leave out, names or shell patterns.
        drop_idle_memory: leave out the memory of rows whose attributed span used no CPU.
        capacity_cores: cores by host, where no reading of the machine says it.
        default_cores: cores of every other host.
    """

    max_gap: float = 900
    slack: float = 30
    pass_seconds: float = 5
    pass_span: float = 120
    theta: float = 0
    excluded: tuple[str, ...] = ()
    drop_idle_memory: bool = False
    capacity_cores: Mapping[str, float] = field(default_factory=dict)
    default_cores: float = 1024

    @property
    def near(self) -> float:
        """How far before a snapshot a row can be near, seconds."""
        return self.max_gap + 2 * self.slack

    def read_range(self, window_start: float, window_end: float) -> tuple[float, float]:
        """The half-open range of times that a window reads.

        It has room for a pass on both sides, and for the stamp that would show that it is none.
        """
        room = self.pass_span + self.pass_seconds
        return window_start - self.near - room, window_end + self.max_gap + room


@dataclass(frozen=True, slots=True)
class Recounted:
    """What the rows add up to. The texts are dictionary columns.

    Attributes:
        buckets: host, bucket (its start, epoch seconds), covered (seconds), snapshots, cpu_norm,
            rss_gb, machine_cpu_norm, machine_cores, machine_used_gb, machine_gb; one row per host
            and covered bucket. What is not known of the machine is NULL.
        entries: host, bucket, username, comm, cpu_norm, rss_gb; without excluded accounts.
        classes: host, class, rows, inside (those whose stamp lies in the window). A row without a
            host has the host NULL.
        ledgers: host, newest_epoch (of all its rows), and the numbers of its ledger under their
            names there.
    """

    buckets: pa.Table
    entries: pa.Table
    classes: pa.Table
    ledgers: pa.Table


def recount(
    rows: pa.Table,
    machines: pa.Table | None,
    limits: Limits,
    window_start: int,
    window_end: int,
) -> Recounted:
    """Count the rows of any number of hosts, each host by itself.

    Args:
        rows: host, snapshot_time_epoch (seconds), pid, username, comm, cputimes (seconds), rss
            (bytes), etimes (seconds), as the source has them: any of them can be NULL.
        machines: host, snapshot_time_epoch, cores, cpu_seconds, memory_bytes, memory_used_bytes,
            boot_epoch; None without such a table.
        limits: the numbers that the rules leave open.
        window_start: the first bucket to publish, epoch seconds.
        window_end: the end of the last bucket to publish, epoch seconds.
    """
    texts = {name: _encoded(rows.column(name), name == "comm") for name in ROW_TEXTS}
    hosts, usernames, comms = (texts[name].dictionary for name in ROW_TEXTS)
    numbers = _numbers(rows, ROW_NUMBERS)
    pids = pc.dictionary_encode(_finite(numbers.pop("pid")))
    capacities = [
        limits.capacity_cores.get(host, limits.default_cores) for host in hosts.to_pylist()
    ]
    excluded = _excluded(usernames.to_pylist(), limits.excluded)
    inputs = {
        "rows": pa.table(
            {name: text.indices for name, text in texts.items()} | {"pid": pids.indices} | numbers
        ),
        "machines": pa.table(
            {"host": _codes(machines, hosts)} | _numbers(machines, MACHINE_NUMBERS)
        ),
        "hosts": _numbered("host", capacity=pa.array(capacities, pa.float64())),
        "pids": _numbered("pid", positive=pc.greater(pids.dictionary, 0)),
        "users": _numbered("username", excluded=pa.array(excluded, pa.bool_())),
    }
    variables = {
        "max_gap": float(limits.max_gap),
        "slack": float(limits.slack),
        "near": float(limits.near),
        "pass": float(limits.pass_seconds),
        "pass_span": float(limits.pass_span),
        "theta": float(limits.theta),
        "drop_idle": limits.drop_idle_memory,
        "pids": max(len(pids.dictionary), 1),
        "comms": max(len(comms), 1),
        "owners": max(len(usernames) * len(comms), 1),
        "window_start": float(window_start),
        "window_end": float(window_end),
    }
    with database_of(inputs, variables, *_SCRIPTS) as database:
        dictionaries = {"host": hosts, "username": usernames, "comm": comms}
        return Recounted(
            *(
                _decoded(database.table(name).to_arrow_table(), dictionaries)
                for name in ("buckets", "entries", "classes", "ledgers")
            )
        )


def _encoded(column: pa.ChunkedArray, fill: bool) -> pa.DictionaryArray:
    """A text column as codes and a dictionary; NULL has no code, or that of the empty text."""
    texts = pc.cast(column, pa.string()).combine_chunks()
    return pc.dictionary_encode(pc.fill_null(texts, "") if fill else texts)


def _codes(machines: pa.Table | None, hosts: pa.Array) -> pa.Array:
    """The hosts of the machines, as positions in the hosts of the rows; NULL for others."""
    if machines is None:
        return pa.array([], pa.int32())
    return pc.index_in(pc.cast(machines.column("host"), pa.string()), hosts)


def _numbers(table: pa.Table | None, names: Mapping[str, str]) -> dict[str, pa.Array]:
    """The columns as float64, under the names of the SQL."""
    if table is None:
        return {short: pa.nulls(0, pa.float64()) for short in names.values()}
    return {
        short: pc.cast(table.column(name), pa.float64(), safe=False).combine_chunks()
        for name, short in names.items()
    }


def _finite(numbers: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(numbers), numbers, None)


def _numbered(name: str, **columns: pa.Array) -> pa.Table:
    """A table of what belongs to each code."""
    count = max(map(len, columns.values()))
    return pa.table({name: pa.array(range(count), pa.int32()), **columns})


def _excluded(usernames: Iterable[str], patterns: Sequence[str]) -> list[bool]:
    return [any(fnmatchcase(name, pattern) for pattern in patterns) for name in usernames]


def _decoded(table: pa.Table, dictionaries: Mapping[str, pa.Array]) -> pa.Table:
    for name, dictionary in dictionaries.items():
        if name in table.column_names:
            position = table.column_names.index(name)
            codes = table.column(name).combine_chunks()
            table = table.set_column(
                position, name, pa.DictionaryArray.from_arrays(codes, dictionary)
            )
    return table
