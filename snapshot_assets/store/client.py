"""What each reader and writer has: a connection, the keys, a clock. No command belongs here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from time import time
from typing import Any, ClassVar, Generic, Self, TypeVar

from snapshot_assets.store.layout import Keys, Retention
from snapshot_assets.store.transport.async_base import AsyncRedisBase
from snapshot_assets.store.transport.base import RedisBase
from snapshot_assets.store.transport.connections import Patience, Target

_Base = TypeVar("_Base", RedisBase, AsyncRedisBase)
_Plans = TypeVar("_Plans")


class StoreClient(ABC, Generic[_Base]):
    """A connection to Redis and the keys under a prefix. Opening one does not connect.

    Args:
        host: server name.
        port: TCP port.
        db: database number.
        url: instead of the three above, as ``RedisBase`` describes.
        prefix: put before each key, so that several installations can share a server.
        retention: how long each form is kept.
        patience: timeouts and retries; each class has its own default.
        clock: epoch seconds now, for tests.
        client_options: further arguments of redis-py's client, for example ``password``.

    Attributes:
        base: the connection.
        keys: what is called how in Redis.
        clock: as given.

    Raises:
        SettingsError: the URL is not one of Redis.
    """

    default_patience: ClassVar[Patience]

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        *,
        url: str | None = None,
        prefix: str = "",
        retention: Retention | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time,
        **client_options: Any,
    ) -> None:
        target = Target.chosen(host, port, db, url)
        self.base: _Base = self._connection(
            target, patience or self.default_patience, client_options
        )
        self.keys = Keys(prefix, retention or Retention())
        self.clock = clock

    @property
    def address(self) -> str:
        """Where the server is, without user and password."""
        return self.base.address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, prefix={self.keys.prefix!r})"

    @abstractmethod
    def _connection(
        self, target: Target, patience: Patience, client_options: dict[str, Any]
    ) -> _Base: ...

    def _plans(self, kind: Callable[[Keys, Callable[[], float], str], _Plans]) -> _Plans:
        """The plans of a kind, for this client's keys and clock."""
        return kind(self.keys, self.clock, self.address)


class ThreadedClient(StoreClient[RedisBase]):
    """A client that threads may share, with its connections; a context manager."""

    def _connection(
        self, target: Target, patience: Patience, client_options: dict[str, Any]
    ) -> RedisBase:
        return RedisBase.to(target, patience, client_options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections; those that other threads wait for, when they have answered."""
        self.base.close()
