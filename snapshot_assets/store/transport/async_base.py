"""A connection to Redis for asyncio: the twin of :mod:`snapshot_assets.store.transport.base`.

The ADR "Two readers, one set of plans" in docs/adr says why there are two.
"""

from __future__ import annotations

from typing import Any, Self

import redis.asyncio
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.sentinel import SentinelConnectionPool

from snapshot_assets.store.transport.connections import Patience, Target
from snapshot_assets.store.transport.refusals import explained
from snapshot_assets.store.transport.wire import Batch, exchange_async


class AsyncRedisBase:
    """As :class:`~snapshot_assets.store.transport.base.RedisBase`, for the tasks of one event loop.

    An asynchronous context manager. The constructor does not connect.

    Args:
        target: where the server is.
        patience: timeouts and retries.
        client_options: further arguments of redis-py's client.
    """

    def __init__(self, target: Target, patience: Patience, client_options: dict[str, Any]) -> None:
        self.target = target
        self.patience = patience
        self._client_options = client_options
        self._secrets = target.secrets_with(client_options)
        self._client: redis.asyncio.Redis | RedisCluster | None = None

    @property
    def address(self) -> str:
        """The address of the server, without user and password."""
        return self.target.address

    @property
    def client(self) -> redis.asyncio.Redis | RedisCluster:
        """redis-py's client, made on first use."""
        if self._client is None:
            self._client = self.target.async_client(self.patience, **self._client_options)
        return self._client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
            # The client does not close its connections to the Sentinels.
            pool: Any = getattr(client, "connection_pool", None)
            if isinstance(pool, SentinelConnectionPool):
                await pool.sentinel_manager.aclose()

    async def exchange(self, batch: Batch) -> list[Any]:
        """As :meth:`RedisBase.exchange`."""
        with explained(self.address, self._secrets):
            return await exchange_async(self.client, batch, self.patience)
