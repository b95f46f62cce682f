"""How to reach Redis: one server, the primary that Sentinels name, or a cluster.

This module makes redis-py's clients, for threads and for asyncio, with timeouts and without
redis-py's own retries. Commands must stay out.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import redis
import redis.asyncio
from redis.asyncio.cluster import ClusterNode as AsyncClusterNode
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import EqualJitterBackoff, NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import ConnectionPool, SSLConnection, parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from snapshot_assets.errors import SettingsError
from snapshot_assets.store.transport.deadline import deadline
from snapshot_assets.urls import SplitUrl, UnreadableUrlError, secrets_of, split_url, unreadable

Kind = Literal["server", "sentinel", "cluster"]

_MANY = {f"redis{tls}+{kind}": (kind, tls) for kind in ("sentinel", "cluster") for tls in ("", "s")}
_DEFAULT_PORTS = {"sentinel": 26379, "cluster": 6379}
_SETTING = "SNAPSHOT_REDIS_URL"
_EXAMPLE = (
    "redis://user:password@host:6379/0, rediss:// (TLS), unix:///path, "
    "redis+sentinel://host:26379,host:26379/service/0 or redis+cluster://host:6379,host:6379"
)
# What redis-py takes after the question mark.
_OPTIONS = frozenset(inspect.signature(redis.Redis.__init__).parameters) - {"self"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try before giving up.

    Attributes:
        timeout_seconds: limit for connecting, and for each wait for answers.
        retries: number of tries after the first try.
        longest_pause_seconds: limit for the pause between two tries; pauses double up to it.
    """

    timeout_seconds: float
    retries: int
    longest_pause_seconds: float

    @property
    def bound_seconds(self) -> float:
        """All tries have failed after this time, if the server does not answer."""
        tries = self.retries + 1
        return tries * self.timeout_seconds + self.retries * self.longest_pause_seconds

    def pause_seconds(self, attempt: int) -> float:
        """How long to wait before this retry; the first retry is 1.

        Half of the pause is random, so that clients do not retry all at the same time. The other
        half is fixed, so that short pauses do not use up all retries while a server restarts.
        """
        pause = EqualJitterBackoff(cap=self.longest_pause_seconds, base=0.05)
        return pause.compute(attempt)


@dataclass(frozen=True, slots=True)
class Target:
    """A Redis to connect to.

    Attributes:
        kind: ``server``, ``sentinel`` (its primary) or ``cluster``.
        nodes: addresses of the server, of the Sentinels, or of some nodes of the cluster.
        service: the Sentinels' name for the primary and its replicas.
        options: arguments of redis-py's connections: user, password, database, TLS.
        secrets: the passwords in the URL.
    """

    kind: Kind
    nodes: tuple[tuple[str, int], ...]
    service: str = ""
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def chosen(cls, host: str, port: int, db: int, url: str | None) -> Target:
        """The target of a URL if there is one, else of host, port and database number.

        Raises:
            SettingsError: as :meth:`of_url`.
        """
        if url is not None:
            return cls.of_url(url)
        return cls("server", ((host, port),), options={"db": db})

    @classmethod
    def of_url(cls, url: str) -> Target:
        """Read a URL.

        Raises:
            SettingsError: the URL has none of the forms that the message lists, or its password is
                not escaped so that it could be read in two ways.
        """
        try:
            split = split_url(url, _SETTING, _EXAMPLE)
            try:
                if split.scheme in _MANY:
                    return cls._of_many(split, secrets_of(url))
                return cls._of_one(url, split)
            except UnreadableUrlError:
                raise
            except (ValueError, TypeError):  # its text may hold a piece of the password
                raise unreadable(url, _SETTING, _EXAMPLE) from None
        except UnreadableUrlError as error:
            raise SettingsError(str(error)) from None

    @classmethod
    def _of_one(cls, url: str, split: SplitUrl) -> Target:
        options = dict(parse_url(url))
        plain = parse_url(url.removesuffix(split.query))  # a password may also be an option
        if not split.agrees(plain.get("username"), plain.get("password")):
            raise unreadable(url, _SETTING, _EXAMPLE)
        node = (options.pop("host", "localhost"), int(options.pop("port", 6379)))
        return cls("server", (node,), "", _checked(options), secrets_of(url))

    @classmethod
    def _of_many(cls, split: SplitUrl, secrets: frozenset[str]) -> Target:
        name, tls = _MANY[split.scheme]
        kind: Kind = "sentinel" if name == "sentinel" else "cluster"
        nodes = tuple(_node(text, _DEFAULT_PORTS[kind]) for text in split.hosts.split(","))
        service, _, db = split.path.removeprefix("/").partition("/")
        if kind == "sentinel" and not service:
            raise UnreadableUrlError(
                f"{_SETTING}: the service's name is missing after the Sentinels; the URL looks "
                f"like {_EXAMPLE}"
            )
        if kind == "cluster" and service not in ("", "0"):
            raise UnreadableUrlError(
                f"{_SETTING}: a cluster has only database 0; the URL looks like {_EXAMPLE}"
            )
        login = {"username": split.username, "password": split.password}
        options = dict(parse_url(f"redis{tls}://node/{db}{split.query}"))
        options |= {name: value for name, value in login.items() if value}
        del options["host"]
        if kind == "cluster":
            options.pop("db", None)
        chosen = service if kind == "sentinel" else ""
        return cls(kind, nodes, chosen, _checked(options), secrets)

    def secrets_with(self, client_options: Mapping[str, Any]) -> frozenset[str]:
        """The passwords of the URL, and the one among further options of a client."""
        given = client_options.get("password")
        return self.secrets | ({str(given)} if given else set())

    @property
    def address(self) -> str:
        """The address, without user and password."""
        if "unix_socket_path" in self.options:
            return f"unix:{self.options['unix_socket_path']}"
        nodes = ",".join(f"{host}:{port}" for host, port in self.nodes)
        if self.kind == "cluster":
            return f"{nodes} (cluster)"
        if self.kind == "sentinel":
            return f"{self.service} of {nodes} (Sentinel)"
        return f"{nodes}/{self.options.get('db') or 0}"

    def client(self, patience: Patience, **options: Any) -> redis.Redis | RedisCluster:
        """A client for threads. Only the client of a cluster connects at once.

        Raises:
            redis.RedisError: the cluster cannot be reached.
        """
        given = {**_timeouts(patience), **self.options, "retry": Retry(NoBackoff(), 0), **options}
        if self.kind == "cluster":
            return RedisCluster(
                startup_nodes=[ClusterNode(host, port) for host, port in self.nodes], **given
            )
        if self.kind == "sentinel":
            sentinel_options = self._sentinel_options(patience, given["retry"])
            return Sentinel(self.nodes, sentinel_kwargs=sentinel_options, **given).master_for(
                self.service, **_greeted(patience)
            )
        return redis.Redis(**self._address_options(), **_greeted(patience), **given)

    def async_client(
        self, patience: Patience, **options: Any
    ) -> redis.asyncio.Redis | AsyncRedisCluster:
        """A client for asyncio. It connects on first use."""
        given = {
            **_timeouts(patience),
            **self.options,
            "retry": AsyncRetry(NoBackoff(), 0),
            **options,
        }
        if self.kind == "cluster":
            return AsyncRedisCluster(
                startup_nodes=[AsyncClusterNode(host, port) for host, port in self.nodes], **given
            )
        if self.kind == "sentinel":
            sentinel_options = self._sentinel_options(patience, given["retry"])
            return AsyncSentinel(self.nodes, sentinel_kwargs=sentinel_options, **given).master_for(
                self.service
            )
        return redis.asyncio.Redis(**self._address_options(), **given)

    def _address_options(self) -> dict[str, Any]:
        if "unix_socket_path" in self.options:
            return {}
        ((host, port),) = self.nodes
        return {"host": host, "port": port}

    def _sentinel_options(self, patience: Patience, retry: Any) -> dict[str, Any]:
        """Options for the Sentinels: TLS as for the servers, but neither user nor password."""
        tls = {name: value for name, value in self.options.items() if name.startswith("ssl")}
        # If a Sentinel does not answer, the client tries the next Sentinel. All together take less
        # than one timeout, so that the error names the Sentinels.
        share = 0.9 * patience.timeout_seconds / len(self.nodes)
        timeouts = {"socket_timeout": share, "socket_connect_timeout": share}
        return {**timeouts, **tls, "retry": retry}


def let_go(client: redis.Redis | RedisCluster) -> None:
    """Close a client's idle connections now, and each connection in use when it is released.

    If this function closed a connection in use, the system could give the socket's number to the
    next socket that is opened, and a thread could still send to that number.
    """
    for pool in _pools(client):
        pool.update_active_connections_for_reconnect()
        pool.disconnect(inuse_connections=False)


def _pools(client: redis.Redis | RedisCluster) -> Iterator[ConnectionPool]:
    if isinstance(client, RedisCluster):
        for node in client.get_nodes():
            if node.redis_connection is not None:
                yield from _pools(node.redis_connection)
        return
    pool: Any = client.connection_pool
    yield pool
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            yield sentinel.connection_pool


def _timeouts(patience: Patience) -> dict[str, Any]:
    return {
        "socket_timeout": patience.timeout_seconds,
        "socket_connect_timeout": patience.timeout_seconds,
        "client_name": "snapshot-assets",
    }


def _greeted(patience: Patience) -> dict[str, Any]:
    """The option that gives the first exchange of a connection a deadline too."""

    def greet(connection: Any) -> None:
        with deadline(connection, patience.timeout_seconds):
            connection.on_connect()

    return {"redis_connect_func": greet}


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a parsed URL, renamed to the arguments of redis-py's clients.

    Raises:
        UnreadableUrlError: redis-py knows no such option.
    """
    kind = options.pop("connection_class", None)
    if "path" in options:
        options["unix_socket_path"] = options.pop("path")
    if kind is not None and issubclass(kind, SSLConnection):
        options["ssl"] = True
    for name in options.keys() - _OPTIONS:
        # The name itself may be a piece of a password with a question mark.
        similar = difflib.get_close_matches(name, _OPTIONS, 1)
        hint = f"is {similar[0]} meant?" if similar else "redis-py's documentation lists them"
        raise UnreadableUrlError(f"{_SETTING} has an option that redis-py does not know; {hint}")
    return options


def _node(text: str, default_port: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not colon:
        host, port = text, str(default_port)
    if not host or not port.isdigit():
        raise ValueError("not an address")
    return host.strip("[]"), int(port)
