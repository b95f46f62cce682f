"""Plans that read documents, the JSON texts of docs/documents.md.

Means over hours and days come from the frames. The module for frames, and pandas with it, is
imported only when a caller requests hours or days.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from snapshot_assets.domain.measures import GROUPINGS, MEASURES, Document, Resolution
from snapshot_assets.errors import StoreError
from snapshot_assets.store.reading.gc_pause import gc_paused
from snapshot_assets.store.reading.plan import (
    Plan,
    Plans,
    Request,
    buckets_between,
    chunks,
    resolution_of,
)
from snapshot_assets.store.transport.answers import decoded_host, pairs

if TYPE_CHECKING:
    from snapshot_assets.domain.summary import Summary

# About a megabyte and a half of documents of one host.
BUCKETS_PER_REQUEST = 1_000


class DocumentPlans(Plans):
    """Plans that read documents."""

    def data(
        self,
        host: str | None,
        start_time: dt.datetime | None,
        end_time: dt.datetime | None,
        resolution: Resolution | str,
    ) -> Plan[OrderedDict[int, dict[str, Any]]]:
        """The plan of ``get_data``."""
        requested = buckets_between(start_time, end_time, self.clock())
        chosen = resolution_of(resolution, requested)
        if chosen != "5min":
            from snapshot_assets.store.reading.frames import FramePlans

            frames = FramePlans(self.keys, self.clock, self.address)
            summaries = yield from frames.summaries(
                host, requested, chosen, MEASURES, GROUPINGS[0], machine=True
            )
            return _averaged(host, summaries, chosen)
        found: OrderedDict[int, dict[str, Any]] = OrderedDict()
        for chunk in chunks(requested, BUCKETS_PER_REQUEST):
            keys = [self.keys.document(bucket) for bucket in chunk]
            request = Request("HGETALL", keys) if host is None else Request("HGET", keys, (host,))
            (answers,) = yield [request]
            with gc_paused():
                for bucket, answer in zip(chunk, answers, strict=True):
                    if not answer:
                        continue
                    if host is not None:
                        found[bucket] = self._decode(answer, bucket, host)
                    else:
                        key = self.keys.document(bucket)
                        found[bucket] = {
                            (known := decoded_host(raw, key)): self._decode(body, bucket, known)
                            for raw, body in sorted(pairs(answer))
                        }
        return found

    def _decode(self, body: bytes, bucket: int, host: str) -> Document:
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise StoreError(
                f"{self._described(host, bucket)} is not JSON ({error}); settle that day again"
            ) from None
        if not isinstance(document, dict) or not document.keys() >= {"cpu", "mem", "meta"}:
            raise StoreError(
                f"{self._described(host, bucket)} is not a document of snapshot_assets: either "
                "another program uses the same keys (set SNAPSHOT_KEY_PREFIX), or a newer "
                "snapshot_assets wrote it (update the reader)"
            )
        return document

    def _described(self, host: str, bucket: int) -> str:
        return f"the document of {host!r} under {self.keys.document(bucket)!r} at {self.address}"


def _averaged(
    host: str | None, summaries: Sequence[tuple[str, Summary]], resolution: Resolution
) -> OrderedDict[int, dict[str, Any]]:
    """The means as documents, in the order of time and host."""
    from snapshot_assets.domain.documents import parsed_documents
    from snapshot_assets.domain.summary import averaged

    found: dict[int, dict[str, Document]] = {}
    for summary_host, summary in summaries:
        usage = averaged(summary_host, summary)
        means = parsed_documents(usage, resolution)
        for start, document in zip(usage.start.tolist(), means, strict=True):
            found.setdefault(start, {})[summary_host] = document
    ascending = sorted(found.items())
    if host is not None:
        return OrderedDict((start, by_host[host]) for start, by_host in ascending)
    return OrderedDict(ascending)
