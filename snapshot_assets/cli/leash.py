"""Child processes that cannot outlive us, however we end: return, Ctrl-C, crash or kill -9.

Between us and the command stands a small process that holds one end of a pipe to us. When the pipe
closes, because we let go or because we are gone, it ends the command and all that came of it. Needs
nothing but POSIX; on Linux it also survives its own sudden death.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

_GRACE_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class LeashedProcess:
    """A running command; a context manager that ends it.

    Args:
        command: program and arguments.
        log: file that gets its output, appended.
        environment: its whole environment; ours if None.
        folder: its working directory.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._leash = subprocess.Popen(
                [sys.executable, "-m", __name__, *self.command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                cwd=folder,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process that holds the leash; the command is its only child."""
        return self._leash.pid

    @property
    def running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._leash.poll() is None

    def stop(self) -> None:
        """End the command and everything it started, and wait until they are gone."""
        if self._leash.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._leash.stdin.close()
        try:
            self._leash.wait(_GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._leash.kill()
            self._leash.wait()

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the output, for an error message."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def free_port(preferred: int = 0) -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now: the preferred one, or else any."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        port: int = listener.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], process: LeashedProcess, seconds: float) -> None:
    """Wait for a server that was started.

    Raises:
        RuntimeError: it ended or took too long; the message has the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if not process.running or time.monotonic() > deadline:
            tail = process.log_tail()
            process.stop()
            raise RuntimeError(f"{process.command[0]} did not become ready:\n{tail}")
        time.sleep(0.05)


def _main(command: list[str]) -> int:
    """Run in the process between: start the command, wait for it or for the pipe to close."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=(lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
        if sys.platform == "linux"
        else None,
    )
    let_go = threading.Event()

    def watch() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        let_go.set()

    threading.Thread(target=watch, daemon=True).start()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: let_go.set())
    while child.poll() is None and not let_go.wait(0.2):
        pass
    _end(child)
    return child.returncode


def _end(child: subprocess.Popen[bytes]) -> None:
    import psutil  # only needed now; the process between should start at once

    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while psutil.Process().children(recursive=True) and time.monotonic() < deadline:
        child.poll()
        _reap()
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    child.wait()


def _reap() -> None:
    """Collect adopted grandchildren that have ended, so that they do not count as running."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
            if process.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(process.pid, os.WNOHANG)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
