"""What the readers and the writer share: server, keys, the words for what went wrong.

How connections are made is in :mod:`snapshot_assets.store.transport.connections`. No command
that reads or writes snapshots belongs here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from time import time
from typing import Any, ClassVar, Self

import redis
from redis import exceptions as errors
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.cluster import RedisCluster
from redis.sentinel import MasterNotFoundError

from snapshot_assets.errors import StoreError, StoreOutageError
from snapshot_assets.store.layout import COMPLETE, Keys, Retention
from snapshot_assets.store.transport.connections import Patience, Target, let_go
from snapshot_assets.store.transport.wire import Batch, Command, exchange, key_of, pack


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


class RedisServer:
    """A Redis or Valkey server, a Sentinel's primary or a cluster that holds the snapshots.

    Opening one does not connect.

    Args:
        host: server name.
        port: TCP port.
        db: database number.
        url: instead of the three above, with user and password as needed: ``redis://``,
            ``rediss://`` (TLS), ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``.
        prefix: put before each key, so that several installations can share a server.
        retention: how long each form is kept.
        patience: timeouts and retries; the classes below choose their own.
        clock: epoch seconds now, for tests.
        client_options: further arguments of redis-py's client, for example ``password``.

    Raises:
        SettingsError: the URL is none of these.
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
        retention: Retention | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time,
        **client_options: Any,
    ) -> None:
        self.target = (
            Target("server", ((host, port),), options={"db": db})
            if url is None
            else Target.of_url(url)
        )
        self.keys = Keys(prefix, retention or Retention())
        self.patience = patience or self.default_patience
        self.clock = clock
        self._client_options = client_options

    @property
    def address(self) -> str:
        """Where the server is, without user and password."""
        return self.target.address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r}, prefix={self.keys.prefix!r})"

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
        except (MasterNotFoundError, AsyncMasterNotFoundError) as error:
            # redis-py's own words hold a page of representations.
            whether = "do not all answer" if " : " in str(error) else "know no primary of that name"
            raise StoreOutageError(
                f"Redis at {self.address} cannot be found: the Sentinels {whether}; are they and "
                "the primary up, and does SNAPSHOT_REDIS_URL name the service as they do?"
            ) from None
        except (errors.ConnectionError, errors.TimeoutError, OSError, *_CLUSTER_DOWN) as error:
            raise StoreOutageError(
                f"Redis at {self.address} does not answer; is it up, and is SNAPSHOT_REDIS_URL "
                f"right? ({error})"
            ) from None
        except errors.RedisError as error:
            raise StoreError(f"Redis at {self.address} refuses: {_hint(error)}") from None


class RedisBase(RedisServer):
    """The same for threads, which may share it; a context manager."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._client: redis.Redis | RedisCluster | None = None
        self._opening = Lock()

    @property
    def client(self) -> redis.Redis | RedisCluster:
        """redis-py's client; made when it is first needed, since that of a cluster connects."""
        with self._opening:
            if self._client is None:
                self._client = self.target.client(self.patience, **self._client_options)
            return self._client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections; those that other threads wait for, when they have answered."""
        with self._opening:
            if self._client is not None:
                let_go(self._client)
                self._client = None

    def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together and give their answers, in order.

        Not a transaction: after an outage some may have been done. All that is sent here is such
        that doing it again is harmless.

        Raises:
            StoreOutageError: no answer, also not after retries.
            StoreError: one is refused.
        """
        if not commands:
            return []
        with self.explained():
            answers = exchange(self.client, Batch.of(commands), self.patience)
            for command, answer in zip(commands, answers, strict=True):
                if isinstance(answer, errors.ResponseError):
                    raise refusal(answer, str(command[0]), _keys_of(command))
        return answers

    def ping(self) -> None:
        """Ask the server for a sign of life.

        Raises:
            StoreOutageError: it gives none.
            StoreError: it refuses.
        """
        with self.explained():
            ping: Command = ("PING",)
            batch = Batch(pack(ping), 1, lambda: [(self.keys.state, ping)])
            exchange(self.client, batch, self.patience)

    def progress(self) -> Progress:
        """How far this server was filled, and with whom.

        Raises:
            StoreOutageError: it gives no answer.
            StoreError: it refuses.
        """
        (until, complete), newest = self.execute(
            [
                ("HMGET", self.keys.state, "live_until", COMPLETE),
                ("HGETALL", self.keys.newest_snapshots),
            ]
        )
        state, known = self.keys.state, self.keys.newest_snapshots
        return Progress(
            live_until=None if until is None else number(until, state),
            complete=complete is not None,
            newest_epoch={name(host, known): number(at, known) for host, at in pairs(newest)},
        )

    def memory(self) -> Memory:
        """How full the server is, and what it does when it is full; of a cluster, all nodes.

        Raises:
            StoreOutageError, StoreError: as :meth:`progress`.
        """
        with self.explained():
            nodes = [
                {**self._info("memory", node), **self._info("stats", node)}
                for node in self._nodes()
            ]
        return Memory(
            used_bytes=sum(int(node["used_memory"]) for node in nodes),
            limit_bytes=sum(int(node.get("maxmemory", 0)) for node in nodes),
            policy=str(nodes[0].get("maxmemory_policy", "noeviction")),
            evicted_keys=sum(int(node.get("evicted_keys", 0)) for node in nodes),
        )

    def _nodes(self) -> list[Any]:
        """The primaries of a cluster; None stands for a single server."""
        return self.client.get_primaries() if isinstance(self.client, RedisCluster) else [None]

    def _info(self, section: str, node: Any) -> dict[str, Any]:
        client: Any = self.client
        chosen = {} if node is None else {"target_nodes": node}
        return dict(client.execute_command("INFO", section, **chosen))


# A cluster that misses a node, or that is changing its mind.
_CLUSTER_DOWN = (
    errors.RedisClusterException,
    errors.ClusterDownError,
    errors.ClusterError,
    errors.TryAgainError,
    errors.MasterDownError,
)


def pairs(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """Fields and values of a hash, which RESP3 gives as a map and RESP2 as a list."""
    if isinstance(answer, Mapping):
        return answer.items()
    return zip(answer[::2], answer[1::2], strict=True)


def name(raw: bytes, key: str) -> str:
    """The host's name that is kept as these bytes.

    Raises:
        StoreError: it is none of ours.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _of_others(raw, key) from None


def number(raw: bytes, key: str) -> float:
    """The number that is kept as these bytes; raises as :func:`name`."""
    try:
        return float(raw)
    except ValueError:
        raise _of_others(raw, key) from None


def _of_others(raw: bytes, key: str) -> StoreError:
    return StoreError(
        f"{raw!r} under {key!r} is none of ours; another program uses the same keys, set "
        "SNAPSHOT_KEY_PREFIX"
    )


def _keys_of(command: Command) -> str:
    """What a refusal is about: the key, or all keys of a script, since it may be any."""
    if command[0] != "EVAL":
        return key_of(command)
    return " or ".join(map(str, command[3 : 3 + int(command[2])]))


def refusal(error: errors.ResponseError, command: str, key: str) -> errors.ResponseError:
    """The same error, with what it is about."""
    return type(error)(f"{error}: {command} {key}")


_HINTS: tuple[tuple[type[errors.RedisError], str], ...] = (
    (errors.ReadOnlyError, "it is a read-only replica; point SNAPSHOT_REDIS_URL at the primary"),
    (errors.OutOfMemoryError, "it is out of memory; raise maxmemory or shorten the retention"),
    (
        errors.NoPermissionError,
        "the user may not do this; see 'Redis users' in docs/operations.md",
    ),
)


def _hint(error: errors.RedisError) -> str:
    told = str(error)
    for kind, hint in _HINTS:
        if isinstance(error, kind):
            return f"{hint} ({told})"
    if "WRONGTYPE" in told:
        reason, _, about = told.rpartition(": ")
        key = about.partition(" ")[2]
        return (
            f"key {key!r} holds another type than it should; another program uses the same keys, "
            f"set SNAPSHOT_KEY_PREFIX ({reason})"
        )
    return told
