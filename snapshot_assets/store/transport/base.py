"""A connection to Redis for threads: the address, how long to wait, and exchanges.

Keys, formats and snapshots must stay out. Readers and writers own a connection; they do not inherit
from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

import redis
from redis import exceptions as errors
from redis.cluster import RedisCluster

from snapshot_assets.store.transport.connections import Patience, Target, let_go
from snapshot_assets.store.transport.refusals import explained, refusal
from snapshot_assets.store.transport.wire import Batch, Command, exchange, key_of, pack

_PATIENCE = Patience(1.0, 1, 0.2)
_PING: Command = ("PING",)


@dataclass(frozen=True, slots=True)
class Memory:
    """A server's memory.

    Attributes:
        used_bytes: memory in use.
        limit_bytes: ``maxmemory``; 0 for no limit.
        policy: ``maxmemory-policy``.
        evicted_keys: number of keys that the server evicted since its start, for lack of memory.
    """

    used_bytes: int
    limit_bytes: int
    policy: str
    evicted_keys: int

    @property
    def may_evict(self) -> bool:
        """Whether a full server evicts documents; readers then get no data, as for a gap."""
        return bool(self.limit_bytes) and self.policy != "noeviction"


class RedisBase:
    """A Redis or Valkey server, a Sentinel's primary or a cluster; threads may share it.

    The constructor does not connect. A context manager.

    Args:
        host: server name.
        port: TCP port.
        db: database number.
        url: instead of the three above, with user and password as needed: ``redis://``,
            ``rediss://`` (TLS), ``unix://``, ``redis+sentinel://`` or ``redis+cluster://``.
        patience: timeouts and retries.
        client_options: further arguments of redis-py's client, for example ``password``.

    Raises:
        SettingsError: the URL has another form.
    """

    def __init__(
        self,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        *,
        url: str | None = None,
        patience: Patience = _PATIENCE,
        **client_options: Any,
    ) -> None:
        self.target = Target.chosen(host, port, db, url)
        self.patience = patience
        self._client_options = client_options
        self._client: redis.Redis | RedisCluster | None = None
        self._opening = Lock()

    @classmethod
    def to(cls, target: Target, patience: Patience, client_options: dict[str, Any]) -> Self:
        """A connection to a target."""
        made = cls(patience=patience, **client_options)
        made.target = target
        return made

    @property
    def address(self) -> str:
        """The address of the server, without user and password."""
        return self.target.address

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address!r})"

    @property
    def _secrets(self) -> frozenset[str]:
        return self.target.secrets_with(self._client_options)

    @property
    def client(self) -> redis.Redis | RedisCluster:
        """redis-py's client, made on first use, because a cluster's client connects at once."""
        with self._opening:
            if self._client is None:
                self._client = self.target.client(self.patience, **self._client_options)
            return self._client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections now, and each connection in use when its thread is done."""
        with self._opening:
            if self._client is not None:
                let_go(self._client)
                self._client = None

    def exchange(self, batch: Batch) -> list[Any]:
        """Send commands together and return their answers, in order.

        The answer to a command that the server rejects is a ResponseError; it is not raised.

        Raises:
            StoreOutageError: the server does not answer, even after retries.
            StoreError: the server rejects the connection.
        """
        with explained(self.address, self._secrets):
            return exchange(self.client, batch, self.patience)

    def execute(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together and return their answers, in order.

        This is not a transaction: after an outage, the server may have executed some commands.
        After an outage all commands are sent again, so repeating a command must be harmless.

        Raises:
            StoreOutageError: the server does not answer, even after retries.
            StoreError: the server rejects a command; the message names the first such command.
        """
        if not commands:
            return []
        answers = self.exchange(Batch.of(commands))
        with explained(self.address, self._secrets):
            for command, answer in zip(commands, answers, strict=True):
                if isinstance(answer, errors.ResponseError):
                    raise refusal(answer, str(command[0]), _keys_of(command))
        return answers

    def ping(self) -> None:
        """Check that the server answers.

        Raises:
            StoreOutageError: the server does not answer.
            StoreError: the server rejects the connection or the command.
        """
        # In a cluster, the node of any key can answer.
        (answer,) = self.exchange(Batch(pack(_PING), 1, lambda: [("", _PING)]))
        if isinstance(answer, errors.ResponseError):
            with explained(self.address, self._secrets):
                raise answer

    def memory(self) -> Memory:
        """The memory of the server, and its policy when full; for a cluster, summed over primaries.

        Raises:
            StoreOutageError: the server does not answer.
            StoreError: the server rejects the command.
        """
        with explained(self.address, self._secrets):
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

    def server_version(self) -> str:
        """The version that the server reports; for a cluster, the version of one node.

        Raises:
            StoreOutageError, StoreError: as :meth:`memory`.
        """
        with explained(self.address, self._secrets):
            found = self._info("server", self._nodes()[0])
        return str(found.get("valkey_version") or found.get("redis_version", "unknown"))

    def _nodes(self) -> list[Any]:
        """The primaries of a cluster; None stands for a single server."""
        return self.client.get_primaries() if isinstance(self.client, RedisCluster) else [None]

    def _info(self, section: str, node: Any) -> dict[str, Any]:
        client: Any = self.client
        chosen = {} if node is None else {"target_nodes": node}
        return dict(client.execute_command("INFO", section, **chosen))


def _keys_of(command: Command) -> str:
    """The key of a rejected command, for the message; all keys of a script."""
    if command[0] != "EVAL":
        return key_of(command)
    return " or ".join(map(str, command[3 : 3 + int(command[2])]))
