"""Reading from Redis with asyncio: the twin of :mod:`snapshot_assets.store.reading.reader`.

The plans are the same (:mod:`snapshot_assets.store.reading.plan`); only waiting differs.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar, Self, TypeVar

import pandas as pd
import redis.asyncio
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from snapshot_assets.domain.summary import Resolution
from snapshot_assets.domain.usage import MEASURES, Measure
from snapshot_assets.store.reading.documents import Plans
from snapshot_assets.store.reading.plan import Plan, answers_of, batch_of
from snapshot_assets.store.reading.reader import READER_PATIENCE
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets.store.transport.wire import exchange_async

_Result = TypeVar("_Result")


class AsyncRedisReader(Plans):
    """Reads what the writer put there, without blocking the event loop while it waits.

    Takes the arguments of :class:`~snapshot_assets.store.transport.server.RedisServer`. Tasks of
    one event loop may share one, and its connections; an asynchronous context manager. Its
    methods are those of :class:`~snapshot_assets.store.reading.reader.RedisReader`, awaited.
    """

    default_patience: ClassVar[Patience] = READER_PATIENCE

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._client: redis.asyncio.Redis | RedisCluster | None = None

    @property
    def client(self) -> redis.asyncio.Redis | RedisCluster:
        """redis-py's client."""
        if self._client is None:
            self._client = self.target.async_client(self.patience, **self._client_options)
        return self._client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give back the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
            # The client does not close what asks the Sentinels for it.
            pool: Any = getattr(client, "connection_pool", None)
            if isinstance(pool, SentinelConnectionPool):
                await pool.sentinel_manager.aclose()

    async def get_data(
        self,
        host: str | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        resolution: Resolution | str = "5min",
    ) -> OrderedDict[int, dict[str, Any]]:
        """As :meth:`RedisReader.get_data`."""
        return await self._run(self._data_plan(host, start_time, end_time, resolution))

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
        plan = self._frame_plan(hosts, start_time, end_time, (measure,), by, resolution)
        return (await self._run(plan))[measure]

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
        plan = self._frame_plan(hosts, start_time, end_time, MEASURES, by, resolution)
        return await self._run(plan)

    async def hosts(
        self, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
    ) -> list[str]:
        """As :meth:`RedisReader.hosts`."""
        return await self._run(self._hosts_plan(start_time, end_time))

    async def last_update(self, host: str | None = None) -> dt.datetime | None:
        """As :meth:`RedisReader.last_update`."""
        return await self._run(self._last_update_plan(host))

    async def _run(self, plan: Plan[_Result]) -> _Result:
        with self.explained():
            try:
                asks = next(plan)
                while True:
                    answers = await exchange_async(self.client, batch_of(asks), self.patience)
                    asks = plan.send(answers_of(asks, answers))
            except StopIteration as done:
                result: _Result = done.value
                return result
