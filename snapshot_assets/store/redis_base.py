"""What the reader and the writer share: the connection, the keys, the words for what went wrong.

No command that reads or writes documents belongs here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import time
from typing import Any, ClassVar, Self

import redis
from redis import exceptions as errors
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_iso
from snapshot_assets.errors import SettingsError, StoreError, StoreOutageError

DEFAULT_RETENTION_SECONDS = 30 * 86_400
# Beside the documents: two hashes that never expire, so that losing them means losing all.
_STATE = "snapshot_assets:state"
_HOSTS = "snapshot_assets:hosts"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try before giving up.

    Attributes:
        timeout_seconds: for connecting, and for each answer.
        retries: further tries after the first.
        longest_pause_seconds: between two tries; the pauses double up to this.
    """

    timeout_seconds: float
    retries: int
    longest_pause_seconds: float

    def retry(self) -> Retry:
        """The same for redis-py."""
        pause = ExponentialWithJitterBackoff(cap=self.longest_pause_seconds, base=0.05)
        return Retry(pause, self.retries)


@dataclass(frozen=True, slots=True)
class Progress:
    """What Redis knows of how it was filled; lost together with its documents.

    Attributes:
        live_until: epoch second up to which the live path has published; None if never.
        complete: whether the settled days were all put here: False for a server that was emptied.
        newest_epoch: each host's newest snapshot that the live path has seen.
    """

    live_until: float | None
    complete: bool
    newest_epoch: dict[str, float]


@dataclass(frozen=True, slots=True)
class Memory:
    """A server's memory.

    Attributes:
        used_bytes: in use.
        limit_bytes: ``maxmemory``; 0 for none.
        policy: ``maxmemory-policy``.
        evicted_keys: dropped for want of memory since the server started.
    """

    used_bytes: int
    limit_bytes: int
    policy: str
    evicted_keys: int

    @property
    def may_evict(self) -> bool:
        """Whether it drops documents when it is full, which looks like a gap."""
        return bool(self.limit_bytes) and self.policy != "noeviction"


class RedisBase:
    """A Redis or Valkey server that holds the snapshots.

    Opening one does not connect. Threads may share it; it is a context manager.

    Args:
        host: server name.
        port: TCP port.
        db: database number.
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://`` instead of the three above, with user
            and password as needed.
        prefix: put before each key, so that several installations can share a server.
        retention_seconds: how long after its end a bucket is kept.
        patience: timeouts and retries; the classes below choose their own.
        clock: epoch seconds now, for tests.
        client_options: further arguments of :class:`redis.Redis`, for example ``password``.
    """

    default_patience: ClassVar[Patience] = Patience(1.0, 1, 0.2)

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        *,
        url: str | None = None,
        prefix: str = "",
        retention_seconds: int = DEFAULT_RETENTION_SECONDS,
        patience: Patience | None = None,
        clock: Callable[[], float] = time,
        **client_options: Any,
    ) -> None:
        self.prefix = prefix
        self.retention_seconds = retention_seconds
        self.clock = clock
        patience = patience or self.default_patience
        options: dict[str, Any] = {
            "socket_timeout": patience.timeout_seconds,
            "socket_connect_timeout": patience.timeout_seconds,
            "retry": patience.retry(),
            "client_name": "snapshot-assets",
            **client_options,
        }
        if url is None:
            self.client = redis.Redis(host=host, port=port, db=db, **options)
        else:
            try:
                self.client = redis.Redis.from_url(url, **options)
            except ValueError as error:
                raise SettingsError(f"SNAPSHOT_REDIS_URL: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self.client.close()

    @property
    def address(self) -> str:
        """Where the server is, without user and password."""
        known = self.client.connection_pool.connection_kwargs
        if "path" in known:
            return f"unix:{known['path']}"
        return f"{known.get('host', 'localhost')}:{known.get('port', 6379)}/{known.get('db') or 0}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, prefix={self.prefix!r})"

    def key(self, bucket: int) -> str:
        """The key of the bucket that starts at this epoch second."""
        return f"{self.prefix}{bucket_iso(bucket)}"

    def expire_at(self, bucket: int) -> int:
        """When Redis drops the bucket that starts at this epoch second."""
        return bucket + BUCKET_SECONDS + self.retention_seconds

    def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            StoreOutageError: it gives none.
            StoreError: it refuses.
        """
        with self.explained():
            self.client.ping()

    def progress(self) -> Progress:
        """How far this server was filled, and with whom.

        Raises:
            StoreOutageError: it gives no answer.
            StoreError: it refuses.
        """
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hmget(self._state_key, ["live_until", "complete"])
        pipeline.hgetall(self._hosts_key)
        with self.explained():
            (until, complete), newest = pipeline.execute()
        return Progress(
            live_until=None if until is None else float(until),
            complete=complete is not None,
            newest_epoch={host.decode(): float(epoch) for host, epoch in newest.items()},
        )

    def memory(self) -> Memory:
        """How full the server is, and what it does when it is full.

        Raises:
            StoreOutageError, StoreError: as :meth:`progress`.
        """
        with self.explained():
            memory: Any = self.client.info("memory")
            stats: Any = self.client.info("stats")
        return Memory(
            used_bytes=int(memory["used_memory"]),
            limit_bytes=int(memory.get("maxmemory", 0)),
            policy=str(memory.get("maxmemory_policy", "noeviction")),
            evicted_keys=int(stats.get("evicted_keys", 0)),
        )

    @property
    def _state_key(self) -> str:
        return f"{self.prefix}{_STATE}"

    @property
    def _hosts_key(self) -> str:
        return f"{self.prefix}{_HOSTS}"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn redis-py's errors into ours."""
        try:
            yield
        except (errors.AuthenticationError, errors.AuthorizationError) as error:
            raise StoreError(
                f"Redis at {self.address} refuses the user or the password; set both in "
                f"SNAPSHOT_REDIS_URL ({error})"
            ) from None
        except errors.BusyLoadingError as error:
            raise StoreOutageError(
                f"Redis at {self.address} is still loading its data ({error})"
            ) from None
        except (errors.ConnectionError, errors.TimeoutError, OSError) as error:
            raise StoreOutageError(
                f"Redis at {self.address} does not answer; is it up, and is SNAPSHOT_REDIS_URL "
                f"right? ({error})"
            ) from None
        except errors.RedisError as error:
            raise StoreError(f"Redis at {self.address} refuses: {_hint(error)}") from None


_HINTS: tuple[tuple[type[errors.RedisError], str], ...] = (
    (errors.ReadOnlyError, "it is a read-only replica; point SNAPSHOT_REDIS_URL at the primary"),
    (errors.OutOfMemoryError, "it is out of memory; raise maxmemory or shorten the retention"),
    (errors.NoPermissionError, "the user may not do this; see ACL in the docs"),
)


def _hint(error: errors.RedisError) -> str:
    told = _PIPELINE_NOISE.sub("", str(error))
    for kind, hint in _HINTS:
        if isinstance(error, kind):
            return f"{hint} ({told})"
    if "WRONGTYPE" in told:
        key = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", str(error))
        return (
            f"key {key[0] if key else ''!r} holds another type than a hash; another program uses "
            f"the same keys, set SNAPSHOT_KEY_PREFIX ({told})"
        )
    return told


# A pipeline's error repeats the whole command, documents included.
_PIPELINE_NOISE = re.compile(r"^Command # \d+ \(.*?\) of pipeline caused error: ", re.DOTALL)
