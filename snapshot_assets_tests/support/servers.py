"""Private MariaDB and Redis servers, for tests and benchmarks.

Each server has its own temporary folder and a free port on 127.0.0.1, and ends with the process
that started it. A missing server program is an error with a hint, never a reason to skip a test.
"""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote

import psutil
import pymysql
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from snapshot_assets.cli.leash import LeashedProcess, free_port, wait_until

_SETTLED_SECONDS = 30.0
_READY_SECONDS = 60.0
_NO_RETRY = Retry(NoBackoff(), 0)


def _child(process: LeashedProcess) -> psutil.Process:
    """The process of the server itself, the child of its leash."""
    (child,) = psutil.Process(process.pid).children()
    return child


def find_program(*names: str) -> str:
    """The path of the first of these programs that is installed."""
    for name in names:
        if found := shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin"):
            return found
    raise RuntimeError(
        f"none of {', '.join(names)} is installed. On Debian or Ubuntu: apt-get install "
        "mariadb-server-core mariadb-client-core redis-server nginx-light chromium; on macOS: brew "
        "install mariadb redis nginx, and brew install --cask chromium"
    )


class Server(ABC):
    """A server process with a folder, a port, and a check that the server is ready."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: LeashedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The command that runs the server."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether the server answers."""

    def start(self) -> None:
        """Start the server and wait until it answers; a restart keeps port and folder."""
        self._process = LeashedProcess(self.command(), log=self.folder / "server.log")
        wait_until(self.is_ready, self._process, _READY_SECONDS)

    def kill(self, signum: int) -> None:
        """Send the server itself a signal, and wait until it has ended."""
        if self._process is not None:
            child = _child(self._process)
            child.send_signal(signum)
            child.wait(30)
            self.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the server: it accepts connections and does not answer."""
        assert self._process is not None
        child = _child(self._process)
        child.suspend()
        try:
            yield
        finally:
            child.resume()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """End the server for a while: nothing listens on its port."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def stop(self) -> None:
        """End the server, if it runs, and give it time to shut down."""
        if self._process is not None:
            self._process.stop()
            self._process = None


class MariaDB(Server):
    """A MariaDB server whose user ``snapshot`` may do everything."""

    user = "snapshot"
    password = "p@ss:/w#rd"  # every character that a URL has to escape

    def __init__(self, folder: Path, options: Sequence[str] = ()) -> None:
        super().__init__(folder)
        self._data = folder / "data"
        self._options = list(options)

    def command(self) -> Sequence[str]:
        """The command that runs the server; sets up a missing data folder first."""
        if not self._data.exists():
            self._install()
        return [
            find_program("mariadbd", "mysqld"),
            "--no-defaults",
            f"--datadir={self._data}",
            f"--port={self.port}",
            f"--socket={self.folder / 's.sock'}",
            # A server that starts removes the files of other servers in a shared folder.
            f"--tmpdir={self.folder}",
            "--bind-address=127.0.0.1",
            f"--user={getpass.getuser()}",
            "--innodb-flush-log-at-trx-commit=0",
            f"--init-file={self.folder / 'init.sql'}",
            *self._options,
        ]

    def _install(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        # With named hosts, as the installation's anonymous user would take precedence over '%'.
        statements = ["CREATE DATABASE IF NOT EXISTS monitoring CHARACTER SET utf8mb4;"]
        for host in ("localhost", "127.0.0.1"):
            account = f"'{self.user}'@'{host}'"
            statements += [
                f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{self.password}';",
                f"GRANT ALL ON *.* TO {account} WITH GRANT OPTION;",
            ]
        # One statement a line, or the server reads the file as a single one.
        (self.folder / "init.sql").write_text("\n".join(statements) + "\n")
        done = subprocess.run(
            [
                find_program("mariadb-install-db", "mysql_install_db"),
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                f"--user={getpass.getuser()}",
                f"--datadir={self._data}",
            ],
            # The server that sets up the folder would remove the files of others, too.
            env={**os.environ, "TMPDIR": str(self.folder)},
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"MariaDB cannot be set up: {done.stdout}{done.stderr}")

    def is_ready(self) -> bool:
        """Whether the user of the tests can log in."""
        try:
            self.connect().close()
        except pymysql.Error:
            return False
        return True

    def connect(self, database: str | None = None) -> pymysql.Connection:
        """A plain connection, for setting up tables."""
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            database=database,
            autocommit=True,
            charset="utf8mb4",
        )

    def url(self, database: str = "monitoring") -> str:
        """The SQLAlchemy URL."""
        password = "p%40ss%3A%2Fw%23rd"
        return f"mysql://{self.user}:{password}@127.0.0.1:{self.port}/{database}"


class Redis(Server):
    """A Redis server without persistence, unless the options say otherwise.

    Args:
        folder: the server's folder.
        options: options of the command line; the last one of a name wins.
        password: password of the default user; None for none.
    """

    programs: ClassVar[Sequence[str]] = ("redis-server", "valkey-server")

    def __init__(
        self, folder: Path, options: Sequence[str] = (), *, password: str | None = None
    ) -> None:
        super().__init__(folder)
        self.password = password
        self._options = list(options)
        if password is not None:
            self._options += ["--requirepass", password]

    def command(self) -> Sequence[str]:
        """The command that runs the server."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return [
            self.program(),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)),
            *("--save", "", "--appendonly", "no"),
            *self._options,
        ]

    def program(self) -> str:
        """The path of the server program."""
        return find_program(*self.programs)

    def is_ready(self) -> bool:
        """Whether the server answers, be it with an error."""
        try:
            # Without retries, as the client would also retry after a rejected password.
            with redis.Redis(port=self.port, socket_timeout=1, retry=_NO_RETRY) as client:
                client.ping()
        except redis.AuthenticationError:  # a kind of ConnectionError to redis-py
            return True
        except (redis.ConnectionError, redis.TimeoutError):
            return False
        return True

    def client(self) -> redis.Redis:
        """A plain client, to read what was written."""
        return redis.Redis(port=self.port, password=self.password, socket_timeout=5)

    def contents(self, pattern: str = "*") -> dict[bytes, tuple[int, Any]]:
        """The contents of all keys that match: key to expiry, and fields or members."""
        with self.client() as client:
            found: dict[bytes, tuple[int, Any]] = {}
            for key in sorted(client.keys(pattern)):
                read = client.smembers if client.type(key) == b"set" else client.hgetall
                found[key] = (client.expiretime(key), read(key))
            return found

    def url(self, db: int = 0) -> str:
        """The redis:// URL."""
        login = "" if self.password is None else f":{quote(self.password, safe='')}@"
        return f"redis://{login}127.0.0.1:{self.port}/{db}"


def wait_for(what: str, reached: Callable[[], bool]) -> None:
    """Wait until a condition is reached.

    Raises:
        RuntimeError: that took too long; the message names the condition.
    """
    deadline = time.monotonic() + _SETTLED_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it took too long until {what}")
        time.sleep(0.02)
