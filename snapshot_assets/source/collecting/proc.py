"""Reading Linux: a snapshot from the files of ``/proc``. Other systems belong to ``sampling.py``.

Two small files for each process, ``stat`` and ``status``, are all that is read: several times as
fast as psutil, and never a command line. The names of accounts are looked up after the last process
is read, because a directory service may take seconds to answer.
"""

from __future__ import annotations

import logging
import math
import os
import pwd
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from snapshot_assets.errors import SourceError
from snapshot_assets.source.collecting.snapshot import Machine, Process, Snapshot

log = logging.getLogger(__name__)

PROC = Path("/proc")
# In these files a tick is a hundredth of a second, on all of today's processors.
_TICKS_PER_SECOND = 100
# The busy times of a "cpu" line: user, nice, system, irq and softirq. Idle and iowait are between.
_BUSY = (0, 1, 2, 5, 6)
# A process may begin while the pass reads. One that begins later than this after the stamp does not
# exist: container systems show start times and boot times that do not belong together.
_EARLY_SECONDS = 60
# Databases store signed 64-bit numbers.
_LIMIT = 2**63
_READ_BYTES = 65_536

# What a process that ends, or that this account may not see, answers at any step of the reading.
_ENDED = (FileNotFoundError, NotADirectoryError, ProcessLookupError)


class _Seen(NamedTuple):
    """A process as ``/proc`` shows it: start in seconds after the boot, ``rss`` in bytes."""

    pid: int
    uid: int
    comm: str
    cpu_seconds: float
    rss: int
    start: float


class UserNames:
    """The names of accounts, looked up anew every ten minutes.

    A name that was known stays while the directory does not know it, as during an outage of the
    directory. An account that never had a name is its number.

    Args:
        find: the name of a uid; raises KeyError if there is none.
    """

    _KEPT_SECONDS = 600

    def __init__(self, find: Callable[[int], str] = lambda uid: pwd.getpwuid(uid).pw_name) -> None:
        self._find = find
        self._known: dict[int, tuple[str, float]] = {}

    def __call__(self, uid: int) -> str:
        """The name of the account."""
        known, until = self._known.get(uid, (None, -math.inf))
        now = time.monotonic()
        if known is not None and now < until:
            return known
        try:
            found = valid_text(self._find(uid))
        except KeyError:
            return str(uid) if known is None else known
        self._known[uid] = found, now + self._KEPT_SECONDS
        return found


class ProcReader:
    """Takes snapshots from a tree like ``/proc``.

    Args:
        root: the tree; a container may see that of its machine at another path.
        user_name: the name of the account with a uid.
    """

    def __init__(self, root: Path = PROC, user_name: Callable[[int], str] | None = None) -> None:
        self._root = os.fsencode(root)
        self._user_name = user_name or UserNames()
        self._has_machine = True

    def __call__(self, host: str, epoch: int) -> Snapshot:
        """Read all processes and the kernel's own count.

        Processes that end while they are read are left out. Those that this account may not read
        are left out and counted.

        Args:
            host: the host name in the rows.
            epoch: the time in the rows, epoch seconds.

        Raises:
            SourceError: the tree cannot be listed.
            OSError: a file cannot be read for a reason that may pass: too many open files.
        """
        machine = self._machine()
        boot = None if machine is None else machine.boot_epoch
        seen, hidden = [], 0
        for pid in self._pids():
            try:
                found = self._process(pid)
            except _ENDED:
                continue
            except PermissionError:
                hidden += 1
                continue
            if found is not None:
                seen.append(found)
        names = {uid: self._user_name(uid) for uid in {process.uid for process in seen}}
        processes = [
            Process(
                process.pid,
                names[process.uid],
                process.comm,
                round(process.cpu_seconds, 2),
                process.rss,
                None if boot is None else age(epoch, boot + process.start),
            )
            for process in seen
        ]
        return Snapshot(host, epoch, processes, machine, hidden)

    def _pids(self) -> list[int]:
        try:
            # iterdir() would make an object of each of a thousand names.
            names = os.listdir(self._root)  # noqa: PTH208
            return sorted(int(name) for name in names if name.isdigit())
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise SourceError(
                f"cannot list the processes in {os.fsdecode(self._root)}: {error.strerror}; is it "
                "mounted, and may this account read it?"
            ) from None

    def _process(self, pid: int) -> _Seen | None:
        """The process; None if its files are cut off or its numbers cannot be stored."""
        folder = b"%b/%d/" % (self._root, pid)
        stat, status = _read(folder + b"stat"), _read(folder + b"status")
        # A name may hold spaces, parentheses and line breaks. What follows it may not.
        try:
            opened, closed = stat.index(b"("), stat.rindex(b")")
            fields = stat[closed + 1 :].split()
            user, system, start = int(fields[11]), int(fields[12]), int(fields[19])
            uid = int(_value(status, b"Uid").split()[0])
            # Kernel threads and zombies have no memory, and no such line.
            rss = 1024 * int((_value(status, b"VmRSS") or b"0").split()[0])
        except (IndexError, ValueError):
            log.info("process %d is left out: its files in /proc are cut off", pid)
            return None
        if not 0 <= rss < _LIMIT:
            log.warning("process %d is left out: %d bytes of memory cannot be stored", pid, rss)
            return None
        comm = sys.intern(stat[opened + 1 : closed].decode("utf-8", "replace"))
        cpu = (user + system) / _TICKS_PER_SECOND
        return _Seen(pid, uid, comm, cpu, rss, start / _TICKS_PER_SECOND)

    def _machine(self) -> Machine | None:
        try:
            stat, memory = _read(self._root + b"/stat"), _read(self._root + b"/meminfo")
            busy = [int(value) for value in stat.split(b"\n", 1)[0].split()[1:]]
            total = _kib(memory, b"MemTotal")
            # The second way is for kernels before 3.14.
            available = _kib(memory, b"MemAvailable") or sum(
                _kib(memory, name) or 0 for name in (b"MemFree", b"Buffers", b"Cached")
            )
            boot = stat.index(b"\nbtime ") + len(b"\nbtime ")
            if total is None or total >= _LIMIT:
                raise ValueError("no usable MemTotal")
            return Machine(
                cores=sum(line[:3] == b"cpu" for line in stat.split(b"\n")) - 1,
                cpu_seconds=round(sum(busy[i] for i in _BUSY) / _TICKS_PER_SECOND, 2),
                memory_bytes=total,
                memory_used_bytes=max(total - available, 0),
                boot_epoch=int(stat[boot:].split(None, 1)[0]),
            )
        except (*_ENDED, PermissionError, IndexError, ValueError) as error:
            if self._has_machine:
                self._has_machine = False
                log.warning(
                    "the kernel's own count is not known, and neither are the ages of processes: "
                    "%s has no usable stat and meminfo (%s)",
                    os.fsdecode(self._root),
                    error,
                )
            return None


def valid_text(name: str) -> str:
    """A name of the operating system as valid UTF-8 text: the kernel allows any bytes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def age(epoch: int, begun: float) -> int | None:
    """Whole seconds from one epoch second to another; None if the process cannot be that young."""
    seconds = math.floor(epoch - begun)
    return None if seconds < -_EARLY_SECONDS else max(seconds, 0)


def _read(path: bytes) -> bytes:
    """The whole file. Built on the system calls, because a file object costs twice as much."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = part = os.read(descriptor, _READ_BYTES)
        while len(part) == _READ_BYTES:
            part = os.read(descriptor, _READ_BYTES)
            content += part
        return content
    finally:
        os.close(descriptor)


def _value(text: bytes, name: bytes) -> bytes:
    """What follows ``name:`` at the beginning of a line; empty if there is no such line."""
    begin = text.find(b"\n%b:" % name) + len(name) + 2
    return text[begin : text.find(b"\n", begin)] if begin > len(name) + 1 else b""


def _kib(memory: bytes, name: bytes) -> int | None:
    """Bytes of a line in KiB of ``meminfo``, None if there is no such line."""
    value = _value(b"\n" + memory, name)
    return 1024 * int(value.split()[0]) if value else None
