"""Writers and servers that die in the middle: nothing wrong is read, and writing again mends all.

Settled days change from one state to another and back. Whatever was cut or killed, a reader sees
of each bucket the one or the other, of each host's frames the one or the other as a whole, or an
error.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from snapshot_assets.domain.measures import Stage
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import Usage
from snapshot_assets.errors import StoreOutageError
from snapshot_assets.pipeline.census import disagreements
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets.store.writing.writer import WRITER_PATIENCE
from snapshot_assets_tests.support import snapshots as ex
from snapshot_assets_tests.support.domain.process_rows import minutes
from snapshot_assets_tests.support.proxies import CuttingProxy
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import (
    InOneLoop,
    Reader,
    both_reading,
    busy,
    exact,
    used,
)

HOSTS = ["alice", "bob"]
ONCE = Patience(5.0, 0, 0.1)


@dataclass(frozen=True)
class Change:
    """A replacement that is interrupted: what, where, and as what."""

    window: Window
    usage: Usage
    stage: Stage

    def write(self, writer: RedisWriter) -> None:
        writer.replace(HOSTS, self.window, self.usage, self.stage)


def both(cores: float, window: Window, stage: Stage, buckets: int = 48) -> Change:
    rows = [row for host in HOSTS for row in busy(host, cores, buckets, 2)]
    return Change(window, used(*rows, window=window, stage=stage), stage)


HOURS = minutes("10:00", "18:00")
BEFORE = both(0.5, ex.WINDOW, "settled")
CHANGES = {
    "a day settles again": both(1.5, ex.WINDOW, "settled", 44),
    "hours settle again": both(1.5, HOURS, "settled", 44),
    "a live refresh": both(1.5, ex.WINDOW, "live", 60),
}


@dataclass(frozen=True)
class Look:
    """What a reader saw: documents by host and bucket, and frames by host and resolution."""

    documents: dict[str, dict[int, Any]]
    frames: dict[tuple[str, str], Any]

    @classmethod
    def through(cls, reader: Reader) -> Look:
        return cls(
            {host: dict(reader.get_data(host, ex.FIRST, ex.LAST)) for host in HOSTS},
            {
                (host, resolution): exact(
                    reader.get_frame(host, ex.FIRST, ex.END, by="username", resolution=resolution)
                )
                for host in HOSTS
                for resolution in ("5min", "hour")
            },
        )

    def require_one_of(self, one: Look, other: Look, told: str) -> bool:
        """Refuse what is neither; whether it is a mixture."""
        sides = set()
        for host, held in self.documents.items():
            for bucket in one.documents[host].keys() | other.documents[host].keys():
                found = held.get(bucket)
                wanted = one.documents[host].get(bucket), other.documents[host].get(bucket)
                assert found in wanted, f"{told}: {host} at {bucket}"
                if wanted[0] != wanted[1]:
                    sides.add(found == wanted[1])
        for which, frame in self.frames.items():
            assert frame in (one.frames[which], other.frames[which]), f"{told}: frame {which}"
            if one.frames[which] != other.frames[which]:
                sides.add(frame == other.frames[which])
        return len(sides) > 1


def open_writer(port: int, patience: Patience | None = None) -> RedisWriter:
    return RedisWriter(port=port, patience=patience or WRITER_PATIENCE, clock=lambda: ex.NOW)


def require_agreement(reader: RedisReader) -> None:
    for host in HOSTS:
        assert disagreements(reader, host, ex.WINDOW) == []


def requested_bytes(server: Redis) -> int:
    with server.client() as client:
        return int(client.info("stats")["total_net_input_bytes"])


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_writer_killed_anywhere_in_its_requests_is_mended_by_writing_again(
    redis_server: Redis, change: Change
) -> None:
    """40 cuts over the bytes of each kind of replacement: a server gets the first part only."""
    with (
        open_writer(redis_server.port) as writer,
        RedisReader(port=redis_server.port, clock=lambda: ex.NOW) as reader,
    ):
        BEFORE.write(writer)
        first = Look.through(reader)
        size = requested_bytes(redis_server)
        change.write(writer)
        size = requested_bytes(redis_server) - size
        second, clean = Look.through(reader), redis_server.contents()
        require_agreement(reader)

        mixtures, chance, count = 0, random.Random(1), 40
        for i in range(count):
            cut = int(size * (i + chance.random()) / count)
            with redis_server.client() as client:
                client.flushall()
            BEFORE.write(writer)
            with (
                CuttingProxy(redis_server.port, request_cuts=[cut]) as proxy,
                open_writer(proxy.port, ONCE) as killed,
                contextlib.suppress(StoreOutageError),
            ):
                change.write(killed)
            told = f"cut after {cut} of {size} bytes"
            mixtures += Look.through(reader).require_one_of(first, second, told)
            change.write(writer)
            assert redis_server.contents() == clean, told
        require_agreement(reader)
    assert mixtures > count / 4, "the cuts were in the middle"


@contextlib.contextmanager
def looking(port: int, checked: Callable[[Look], object]) -> Iterator[list[int]]:
    """Both readers look all the time, each in a thread; how often each got an answer."""

    def look(reader: RedisReader | InOneLoop) -> bool:
        checked(Look.through(reader))
        return True

    with both_reading(look, 0.1, port=port, patience=Patience(0.9, 0, 0.1)) as counts:
        yield counts


@pytest.mark.parametrize("sync", ["always", "everysec"])
def test_a_server_killed_anywhere_in_a_write_is_mended_by_writing_again(
    tmp_path: Path, sync: str
) -> None:
    """50 times kill -9 and restart for each way of syncing, from one state to the other and back.

    What was answered before survives, since the machine does: only the process dies.
    """
    kills, chance = 50, random.Random(2)
    with Redis(tmp_path, ["--appendonly", "yes", "--appendfsync", sync]) as server:
        states = []
        with (
            open_writer(server.port) as writer,
            RedisReader(port=server.port, clock=lambda: ex.NOW) as reader,
        ):
            BEFORE.write(writer)
            for change in (CHANGES["a day settles again"], BEFORE):
                size = requested_bytes(server)
                change.write(writer)
                size = requested_bytes(server) - size
                states.append((change, size, Look.through(reader), server.contents()))

            def checked(look: Look, told: str = "meanwhile") -> bool:
                return look.require_one_of(states[0][2], states[1][2], told)

            mixtures = 0
            with looking(server.port, checked) as seen:
                for i in range(kills):
                    change, size, _, clean = states[i % 2]
                    cut = int(size * (i + chance.random()) / kills)
                    told = f"kill {i} at {cut} of {size} bytes"
                    _kill_after(server, change, cut)
                    server.start()
                    mixtures += checked(Look.through(reader), told)
                    change.write(writer)
                    assert server.contents() == clean, told
            require_agreement(reader)
    assert mixtures > kills / 4, "the kills were in the middle"
    assert min(seen) > kills / 5, "both readers saw it"


def _kill_after(server: Redis, change: Change, cut: int) -> None:
    """Kill the server as soon as so many bytes of this were passed to it, or after all."""
    with server.client() as client:
        process = psutil.Process(client.info("server")["process_id"])
    with (
        CuttingProxy(server.port, request_cuts=[cut], at_request_cut=process.kill) as proxy,
        open_writer(proxy.port, ONCE) as writer,
        contextlib.suppress(StoreOutageError),
    ):
        change.write(writer)
    with contextlib.suppress(psutil.NoSuchProcess):  # it was killed at the cut, and is gone
        process.kill()
    server.stop()
