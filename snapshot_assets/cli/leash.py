"""Child processes that never outlive their parent, even if it crashes or gets kill -9.

Between the parent and the command runs a small process, the leash, which reads a pipe from the
parent. When the pipe closes, because the parent closed it or ended, the leash ends the command and
all its descendants. POSIX is enough. On Linux the kernel also kills the command if the leash itself
is killed.
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
    """A running command; a context manager that ends the command on exit.

    Args:
        command: program and arguments.
        log: file to which the command's output is appended.
        environment: the command's whole environment; the parent's if None.
        folder: the command's working directory.
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
        """The pid of the leash; the command is its child."""
        return self._leash.pid

    @property
    def running(self) -> bool:
        """Whether the command still runs."""
        return self._leash.poll() is None

    def stop(self) -> None:
        """End the command and everything that it started, and wait until all have ended."""
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
    """A TCP port of 127.0.0.1 that no program uses now: the preferred one, or else any."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
        port: int = listener.getsockname()[1]
        return port


def wait_until(ready: Callable[[], bool], process: LeashedProcess, seconds: float) -> None:
    """Wait until a server is ready.

    Raises:
        RuntimeError: the server ended or took too long; the message has the end of its log.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if not process.running or time.monotonic() > deadline:
            tail = process.log_tail()
            process.stop()
            raise RuntimeError(f"{process.command[0]} did not become ready:\n{tail}")
        time.sleep(0.05)


def _main(command: list[str]) -> int:
    """Run as the leash: start the command, then wait until it ends or the pipe closes."""
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
    import psutil  # imported late, so that the leash starts fast

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
    """Reap adopted descendants that have ended, so that they do not count as running."""
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
