"""What readers and writers share: a connection, the keys, a clock. No command belongs here."""

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
    """A connection to Redis and the keys under a prefix. The constructor does not connect.

    Args:
        host: server name.
        port: TCP port.
        db: database number.
        url: instead of the three above, as ``RedisBase`` describes.
        prefix: text in front of each key, so that several installations can share a server.
        retention: how long Redis keeps each form.
        patience: timeouts and retries; each class has its own default.
        clock: returns the epoch seconds now; tests set another clock.
        client_options: further arguments of redis-py's client, for example ``password``.

    Attributes:
        base: the connection.
        keys: the keys in Redis and when each key expires.
        clock: as given.

    Raises:
        SettingsError: the URL is not a URL of Redis.
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
        """The address of the server, without user and password."""
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
    """A client that threads may share, with its connections. A context manager."""

    def _connection(
        self, target: Target, patience: Patience, client_options: dict[str, Any]
    ) -> RedisBase:
        return RedisBase.to(target, patience, client_options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections now, and each connection in use when its thread is done."""
        self.base.close()
