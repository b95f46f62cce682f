"""Where the documents and the ledger of a host-day differ from the recount.

The comparison of the documents is in ``compare.sql``, beside this file. This module knows how a
document is built; it reads nothing and decides no verdict.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from snapshot_assets.pipeline.proof.duck import database_of
from snapshot_assets.pipeline.proof.recount import Recounted

Documents = Mapping[int, Mapping[str, Any]]

# A document's last digit, and half a byte per row where the source's rss has fractions.
_ROUNDING = 0.6e-6
_RELATIVE = 1e-8
_FIELDS = {"cpu": "cpu_norm", "mem": "rss"}
_UNITS = {
    "document": "coverage",
    "coverage": "coverage",
    "snapshots": "snapshots",
    "cpu": "cores",
    "cpu other": "cores of `other`",
    "mem": "GB",
    "mem other": "GB of `other`",
    "machine cpu": "cores of the machine",
    "machine cores": "CPUs of the machine",
    "machine used": "GB used of the machine",
    "machine total": "GB of the machine",
}


class Difference(NamedTuple):
    """A number that is not what the rows add up to.

    Attributes:
        host: the host.
        where: the bucket in ISO format, or ``ledger``.
        what: the name of the number, with the user and command it belongs to.
        published: the number in Redis or in the ledger; None if it is not there.
        recounted: the number that the rows add up to; None if there is none.
    """

    host: str
    where: str
    what: str
    published: float | None
    recounted: float | None

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.what}: {_text(self.published)} published, "
            f"{_text(self.recounted)} recounted"
        )


def document_differences(
    documents: Mapping[str, Documents],
    recounted: Recounted,
    kept_from: int,
    cpu_threshold: float,
    mem_threshold: float,
) -> Iterator[Difference]:
    """Where documents differ from the recount, by host and bucket.

    Args:
        documents: host to its documents by bucket, as the reader returns them.
        recounted: of these hosts.
        kept_from: buckets before this one are not compared, because Redis need not have them.
        cpu_threshold: a user and command above this is listed, cores.
        mem_threshold: a user and command above this is listed, GB.
    """
    names = _names_of(recounted)
    tables = {
        "documents": _numbers(documents, names),
        "listed": _listed(documents, names),
        "buckets": _coded(recounted.buckets),
        "entries": _coded(recounted.entries),
    }
    variables = {
        "kept_from": float(kept_from),
        "cpu_threshold": float(cpu_threshold),
        "mem_threshold": float(mem_threshold),
        "rounding": _ROUNDING,
    }
    with database_of(tables, variables, "compare.sql") as database:
        found = database.sql("FROM differences ORDER BY host, bucket, what, username, comm")
        for host, bucket, what, username, comm, published, counted in found.fetchall():
            owner = ""
            if username is not None:
                owner = f" of ({names.username.texts[username]}, {names.comm.texts[comm]})"
            yield Difference(
                *(names.host.texts[host], _iso(bucket), f"{_UNITS[what]}{owner}"),
                *(published, counted),
            )


class _Codes(dict[str, int]):
    """Texts and their codes: those of a recount, and further ones as they are asked for."""

    def __init__(self, dictionary: pa.Array) -> None:
        self.texts: list[str] = dictionary.to_pylist()
        super().__init__({text: code for code, text in enumerate(self.texts)})

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self.texts)
        self.texts.append(text)
        return code


class _Names(NamedTuple):
    """The codes of the texts of a recount and of documents."""

    host: _Codes
    username: _Codes
    comm: _Codes


def _names_of(recounted: Recounted) -> _Names:
    columns = (recounted.entries.column(name).combine_chunks() for name in _Names._fields)
    return _Names(*(_Codes(column.dictionary) for column in columns))


def ledger_differences(
    host: str, ledger: Mapping[str, Any], recounted: Recounted
) -> list[Difference]:
    """Where a ledger differs from the recount.

    Args:
        host: the host.
        ledger: its ledger, as the lake keeps it.
        recounted: of this host, and maybe of others.
    """
    counted: dict[str, float] = {}
    published: dict[str, float] = {}
    for row in _of_host(recounted.classes, host):
        counted[f"rows of class {row['class']}"] = row["rows"]
        counted[f"rows of class {row['class']} in the day"] = row["inside"]
    for name, rows in ledger["rows"].items():
        published[f"rows of class {name}"] = rows
        published[f"rows of class {name} in the day"] = ledger["window_rows"][name]
    for row in _of_host(recounted.ledgers, host):
        for name in row.keys() - {"host", "newest_epoch"}:
            counted[name], published[name] = row[name], ledger.get(name, 0)
    pairs = {
        what: (float(published.get(what, 0)), float(counted.get(what, 0)))
        for what in sorted(published.keys() | counted.keys())
    }
    return [
        Difference(host, "ledger", what, one, other)
        for what, (one, other) in pairs.items()
        if abs(one - other) > max(1.0, abs(other)) * _RELATIVE
    ]


def rows_of(recounted: Recounted, host: str) -> tuple[int, float | None]:
    """The number of the host's rows, and the time of the newest."""
    for row in _of_host(recounted.ledgers, host):
        return row["rows_read"], row["newest_epoch"]
    return 0, None


def rejected_share(host: str, recounted: Recounted) -> float:
    """The share of rejected rows among the host's rows in the window."""
    rows = {row["class"]: row["inside"] for row in _of_host(recounted.classes, host)}
    return float(rows.get("rejected", 0)) / max(float(sum(rows.values())), 1)


def use_by_host(recounted: Recounted, kept_from: int) -> dict[str, tuple[float, float]]:
    """Core-seconds and GB-seconds by host, of the buckets from this one on."""
    kept = recounted.buckets.filter(pc.greater_equal(recounted.buckets.column("bucket"), kept_from))
    found: dict[str, tuple[float, float]] = {}
    for row in kept.select(("host", "covered", "cpu_norm", "rss_gb")).to_pylist():
        cpu, gb = found.get(row["host"], (0.0, 0.0))
        seconds = row["covered"]
        found[row["host"]] = cpu + row["cpu_norm"] * seconds, gb + row["rss_gb"] * seconds
    return found


def _of_host(table: pa.Table, host: str) -> list[dict[str, Any]]:
    return table.filter(pc.equal(pc.cast(table.column("host"), pa.string()), host)).to_pylist()


def _coded(table: pa.Table) -> pa.Table:
    """The table with the codes of its texts."""
    for position, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            codes = table.column(position).combine_chunks().indices
            table = table.set_column(position, field.name, codes)
    return table


_DOCUMENT_COLUMNS = (
    *("host", "bucket", "coverage", "documented_snapshots", "cpu", "cpu_other", "mem", "mem_other"),
    *("machine_cpu", "cores", "machine_used", "machine_total"),
)


def _numbers(documents: Mapping[str, Documents], names: _Names) -> pa.Table:
    rows = []
    for host, by_bucket in documents.items():
        code = names.host[host]
        for bucket, document in by_bucket.items():
            cpu, mem, meta = document["cpu"], document["mem"], document["meta"]
            busy, memory = cpu.get("machine", {}), mem.get("machine", {})
            rows.append(
                (
                    *(code, bucket, meta["coverage"], meta["snapshots"]),
                    *(cpu["command"]["cpu_norm"], cpu["other"]["cpu_norm"]),
                    *(mem["command"]["rss"], mem["other"]["rss"]),
                    *(busy.get("cpu_norm"), busy.get("cores")),
                    *(memory.get("used"), memory.get("total")),
                )
            )
    return _table(rows, _DOCUMENT_COLUMNS)


def _listed(documents: Mapping[str, Documents], names: _Names) -> pa.Table:
    # Columns from the start: a tuple for each entry would be one more object to collect.
    hosts: list[int] = []
    buckets: list[int] = []
    measures: list[int] = []
    usernames: list[int] = []
    comms: list[int] = []
    values: list[float] = []
    username_codes, comm_codes = names.username, names.comm
    for host, by_bucket in documents.items():
        code = names.host[host]
        for bucket, document in by_bucket.items():
            for measure, (part, field) in enumerate(_FIELDS.items()):
                entries = document[part]["user"]
                usernames += [username_codes[entry["username"]] for entry in entries]
                comms += [comm_codes[entry["comm"]] for entry in entries]
                values += [entry[field] for entry in entries]
                hosts += [code] * len(entries)
                buckets += [bucket] * len(entries)
                measures += [measure] * len(entries)
    return pa.table(
        {
            "host": pa.array(hosts, pa.int32()),
            "bucket": pa.array(buckets, pa.float64()),
            "measure": pa.array(measures, pa.int32()),
            "username": pa.array(usernames, pa.int32()),
            "comm": pa.array(comms, pa.int32()),
            "value": pa.array(values, pa.float64()),
        }
    )


def _table(rows: list[tuple], names: tuple[str, ...]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(names)
    codes = ("host", "measure", "username", "comm")
    kinds = (pa.int32() if name in codes else pa.float64() for name in names)
    return pa.table(
        {
            name: pa.array(values, kind)
            for name, values, kind in zip(names, columns, kinds, strict=True)
        }
    )


def _iso(bucket: float) -> str:
    return dt.datetime.fromtimestamp(bucket, dt.UTC).isoformat()


def _text(number: float | None) -> str:
    return "nothing" if number is None else f"{number:.9g}"
