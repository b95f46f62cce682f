"""Reading from Redis with asyncio: the twin of :mod:`snapshot_assets.store.reading.reader`.

Both readers run the same plans (:mod:`snapshot_assets.store.reading.plan`); only waiting differs.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from snapshot_assets.domain.measures import MEASURES, Measure, Resolution
from snapshot_assets.store.client import StoreClient
from snapshot_assets.store.reading.documents import DocumentPlans
from snapshot_assets.store.reading.plan import run_async
from snapshot_assets.store.reading.presence import PresencePlans
from snapshot_assets.store.reading.reader import READER_PATIENCE
from snapshot_assets.store.transport.async_base import AsyncRedisBase
from snapshot_assets.store.transport.connections import Patience, Target

if TYPE_CHECKING:
    import pandas as pd

    from snapshot_assets.store.reading.frames import FramePlans


class AsyncRedisReader(StoreClient[AsyncRedisBase]):
    """Reads documents and frames from Redis, without blocking the event loop.

    Takes the arguments of :class:`~snapshot_assets.store.client.StoreClient`. Tasks of one event
    loop may share a reader, with its connections. An asynchronous context manager. The methods are
    those of :class:`~snapshot_assets.store.reading.reader.RedisReader`, as coroutines.
    """

    default_patience: ClassVar[Patience] = READER_PATIENCE

    def _connection(
        self, target: Target, patience: Patience, client_options: dict[str, Any]
    ) -> AsyncRedisBase:
        return AsyncRedisBase(target, patience, client_options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.base.close()

    async def get_data(
        self,
        host: str | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        resolution: Resolution | str = "5min",
    ) -> OrderedDict[int, dict[str, Any]]:
        """As :meth:`RedisReader.get_data`."""
        plan = self._plans(DocumentPlans).data(host, start_time, end_time, resolution)
        return await run_async(plan, self.base)

    async def get_frame(
        self,
        hosts: str | Sequence[str] | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        *,
        measure: Measure = "cpu",
        by: str | Sequence[str] | None = None,
        resolution: Resolution | str = "auto",
    ) -> pd.DataFrame:
        """As :meth:`RedisReader.get_frame`."""
        plan = self._frames.frames(hosts, start_time, end_time, (measure,), by, resolution)
        return (await run_async(plan, self.base))[measure]

    async def get_frames(
        self,
        hosts: str | Sequence[str] | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        *,
        by: str | Sequence[str] | None = None,
        resolution: Resolution | str = "auto",
    ) -> dict[Measure, pd.DataFrame]:
        """As :meth:`RedisReader.get_frames`."""
        plan = self._frames.frames(hosts, start_time, end_time, MEASURES, by, resolution)
        return await run_async(plan, self.base)

    async def hosts(
        self, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
    ) -> list[str]:
        """As :meth:`RedisReader.hosts`."""
        return await run_async(self._plans(PresencePlans).hosts(start_time, end_time), self.base)

    async def last_update(self, host: str | None = None) -> dt.datetime | None:
        """As :meth:`RedisReader.last_update`."""
        return await run_async(self._plans(PresencePlans).last_update(host), self.base)

    @property
    def _frames(self) -> FramePlans:
        # Documents are read without pandas.
        from snapshot_assets.store.reading.frames import FramePlans

        return self._plans(FramePlans)
