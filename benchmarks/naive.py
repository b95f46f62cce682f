"""The straightforward version of the job: pandas, a dict per document, a SET per document.

It is meant to be fair: nothing here is slow on purpose. Its accounting is simpler than the
product's: a process' first row has no CPU, all CPU counts in the bucket of its snapshot, a reused
pid counts as zero, and coverage and gaps are ignored.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import pandas as pd
import pymysql
import redis
import sqlalchemy as sa

from benchmarks.measure import Job, answer
from snapshot_assets.timing import Timer

BUCKET_SECONDS = 300
KEPT_SECONDS = 30 * 86_400
CPU_THRESHOLD = 0.05
MEM_THRESHOLD = 0.1


def settle(job: Job) -> dict[str, Any]:
    """Settle the day."""
    timer = Timer()
    with timer("total"):
        with timer("read"):
            rows = read(job)
        with timer("account"):
            use = aggregate(rows)
        with timer("document"):
            texts = build(use)
        with timer("write"):
            write(job, texts)
    return {
        "seconds": timer.seconds,
        "rows_read": len(rows),
        "documents": len(texts),
        "document_bytes": sum(len(text.encode()) for text in texts.values()),
        "cpu_core_seconds": float(use["cpu_norm"].sum()) * BUCKET_SECONDS,
    }


def read(job: Job) -> pd.DataFrame:
    """All columns of the day's rows."""
    url = sa.make_url(job.source_url)
    connection = pymysql.connect(
        host=url.host or "",
        port=url.port or 0,
        user=url.username,
        password=url.password or "",
        database=url.database,
    )
    query = (
        "SELECT * FROM processes "
        f"WHERE snapshot_time_epoch >= {job.start} AND snapshot_time_epoch < {job.end}"
    )
    with connection, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas prefers SQLAlchemy
        return pd.read_sql(query, connection)


def aggregate(rows: pd.DataFrame) -> pd.DataFrame:
    """Cores and GB by bucket, host, username and comm."""
    rows = rows.sort_values(["host", "pid", "snapshot_time_epoch"])
    used = rows.groupby(["host", "pid"])["cputimes"].diff()
    rows["cpu_seconds"] = used.fillna(0).clip(lower=0)
    rows["timestamp"] = pd.to_datetime(rows["snapshot_time_epoch"], unit="s", utc=True)
    rows["timestamp"] = rows["timestamp"].dt.floor("5min")
    snapshots = rows.groupby(["timestamp", "host"])["snapshot_time_epoch"].transform("nunique")
    rows["rss_gb"] = rows["rss"] * 1024 / 1e9 / snapshots
    key = ["timestamp", "host", "username", "comm"]
    use = rows.groupby(key, as_index=False)[["cpu_seconds", "rss_gb"]].sum()
    use["cpu_norm"] = use["cpu_seconds"] / BUCKET_SECONDS
    return use


def build(use: pd.DataFrame) -> dict[str, str]:
    """The key and the JSON text of each document."""
    documents: dict[tuple[pd.Timestamp, str], dict[str, Any]] = {}
    for row in use.itertuples(index=False):
        key = (row.timestamp, row.host)
        if key not in documents:
            documents[key] = {"cpu": _part("cpu_norm", row), "mem": _part("rss", row)}
        _add(documents[key]["cpu"], "cpu_norm", row.cpu_norm, CPU_THRESHOLD, row)
        _add(documents[key]["mem"], "rss", row.rss_gb, MEM_THRESHOLD, row)
    return {
        f"{timestamp.isoformat()}|{host}": json.dumps(document)
        for (timestamp, host), document in documents.items()
    }


def _part(field: str, row: Any) -> dict[str, Any]:
    timestamp = row.timestamp.isoformat()
    return {"command": {field: 0.0, "timestamp": timestamp}, "user": [], "other": {field: 0.0}}


def _add(part: dict[str, Any], field: str, value: float, threshold: float, row: Any) -> None:
    part["command"][field] += value
    if value <= threshold:
        part["other"][field] += value
        return
    part["user"].append(
        {
            field: round(value, 6),
            "username": row.username,
            "comm": row.comm,
            "host": row.host,
            "timestamp": row.timestamp.isoformat(),
        }
    )


def write(job: Job, texts: dict[str, str]) -> None:
    """One command per document."""
    client = redis.Redis.from_url(job.redis_url)
    for key, text in texts.items():
        client.set(key, text, ex=KEPT_SECONDS)


if __name__ == "__main__":
    answer(settle)
