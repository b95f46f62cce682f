"""What version 0.1 wrote: the dump of its Redis, and how to put it into a server."""

from __future__ import annotations

import base64
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from snapshot_assets_tests.support.servers import Redis

WRITTEN = Path(__file__).parents[1] / "data" / "version_0_1"


class Key(NamedTuple):
    """A key of the dump, and what it held: fields to values, or members."""

    name: str
    fields: dict[bytes, bytes] | None
    members: list[bytes] | None

    @property
    def is_of_documents(self) -> bool:
        return "snapshot_assets" not in self.name


def dump() -> list[Key]:
    with lzma.open(WRITTEN / "redis.jsonl.xz", "rt", encoding="utf-8") as lines:
        entries = [json.loads(line) for line in lines]
    decode = base64.b64decode
    return [
        Key(
            entry["key"],
            {decode(f): decode(v) for f, v in entry["fields"]} if "fields" in entry else None,
            [decode(m) for m in entry["members"]] if "members" in entry else None,
        )
        for entry in entries
    ]


def load(server: Redis, wanted: Callable[[Key], bool] = lambda _: True) -> None:
    """Put the dump into a server, without expiry: version 0.1's may be over when this runs."""
    with server.client() as client:
        for key in filter(wanted, dump()):
            if key.fields is not None:
                client.hset(key.name, mapping=dict(key.fields))
            else:
                client.sadd(key.name, *(key.members or []))
