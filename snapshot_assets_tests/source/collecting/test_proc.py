"""Reading a tree like ``/proc``: the one in ``data/proc``, with its golden output, and this one.

``data/proc/root`` holds, by pid: 2 and 37 kernel threads; 1204, 1311, 1440 and 1600 names with
parentheses, a line break, invalid UTF-8, and none; 1777 a program that runs as root for a user;
2001 a zombie; 2550 one of 64 threads, and an account without a name, as 2600; 3000 numbers near the
limit of the kernel's, 3001 beyond that of databases; 3100 and 3101 processes that end before their
first and their second file is read, 3200 and 3202 files that are cut off; 4000 a file; 4100 one
that becomes unreadable; 32768 to 32770 processes that began 0.25 s before the stamp, and 6.75 s and
97 s after the stamp.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from snapshot_assets.errors import SourceError
from snapshot_assets.source.collecting.proc import PROC, ProcReader, UserNames
from snapshot_assets.source.collecting.sampling import sample_by_psutil, sampler
from snapshot_assets.source.collecting.snapshot import Snapshot

DATA = Path(__file__).parents[2] / "data" / "proc"
STAMP = 1_790_500_003
NOBODY = 65_534

needs_proc = pytest.mark.skipif(not (PROC / "self").exists(), reason="only Linux has /proc")


def user_name(uid: int) -> str:
    return {0: "root", 1000: "ana"}[uid]


def read(root: Path) -> Snapshot:
    return ProcReader(root, UserNames(user_name))("golden", STAMP)


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may read everything, so root becomes somebody else for a while."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def tree() -> Iterator[Path]:
    """A copy of the tree that every account can reach, whose pid 4100 nobody may read."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = shutil.copytree(DATA / "root", Path(folder) / "proc")
        (root / "4100" / "stat").chmod(0)
        yield root


def rendered(snapshot: Snapshot) -> str:
    """The snapshot as JSON, one process a line."""
    processes = ",\n  ".join(json.dumps(process._asdict()) for process in snapshot.processes)
    machine = snapshot.machine and snapshot.machine._asdict()
    return (
        f'{{"host": {json.dumps(snapshot.host)}, "epoch": {snapshot.epoch}, '
        f'"hidden": {snapshot.hidden},\n "machine": {json.dumps(machine)},\n "processes": [\n  '
        f"{processes}]}}\n"
    )


def test_the_tree_gives_the_golden_snapshot(tree: Path) -> None:
    with without_privileges():
        found = read(tree)
    assert rendered(found) == (DATA / "golden.json").read_text()


@needs_proc
def test_a_process_that_ends_while_its_file_is_open_is_left_out(tree: Path) -> None:
    """Then the kernel says that there is no such process, and not that there is no such file."""
    with subprocess.Popen(["sleep", "60"]) as process:
        descriptor = os.open(f"/proc/{process.pid}/stat", os.O_RDONLY)
        (tree / "77").mkdir()
        (tree / "77" / "stat").symlink_to(f"/proc/self/fd/{descriptor}")
        (tree / "77" / "status").write_bytes((tree / "1" / "status").read_bytes())
        assert 77 in {process.pid for process in read(tree).processes}
        process.kill()
    try:
        with pytest.raises(ProcessLookupError):
            os.read(os.open(tree / "77" / "stat", os.O_RDONLY), 10)
        assert 77 not in {process.pid for process in read(tree).processes}
    finally:
        os.close(descriptor)


def test_too_many_open_files_do_not_make_an_empty_snapshot(tree: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    reader = ProcReader(tree, UserNames(user_name))
    # The listing takes a descriptor, and so does each file: this limit lets none of them be opened.
    lowest = os.open(tree, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            reader("golden", STAMP)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_the_kernels_count_processes_have_no_age(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A /proc mounted with ``subset=pid`` has no ``stat``; one warning says what is missing."""
    (tree / "stat").unlink()
    reader = ProcReader(tree, UserNames(user_name))
    first, second = reader("golden", STAMP), reader("golden", STAMP + 60)
    assert first.machine is second.machine is None
    assert {process.etimes for process in first.processes} == {None}
    assert {process.pid for process in first.processes} >= {1, 2, 2550}
    assert caplog.text.count("the kernel's own count is not known") == 1


def test_old_kernels_without_available_memory_count_free_and_cached(tree: Path) -> None:
    (tree / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 300 kB\nBuffers: 50 kB\n")
    machine = read(tree).machine
    assert machine is not None
    assert machine.memory_used_bytes == 650 * 1024


def test_a_long_list_of_groups_does_not_hide_the_memory(tree: Path) -> None:
    """The file is then larger than one read."""
    status = tree / "1" / "status"
    groups = " ".join(map(str, range(100_000, 120_000)))
    status.write_text(status.read_text().replace("Groups:\t100 27 ", f"Groups:\t{groups} "))
    assert status.stat().st_size > 100_000
    assert read(tree).processes[0].rss == 13312 * 1024


def test_a_tree_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing.*is it mounted"):
        ProcReader(tmp_path / "nothing")("golden", STAMP)


def test_a_name_stays_while_the_directory_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {7: "ana"}
    owner = UserNames(lambda uid: names[uid])
    assert (owner(7), owner(8)) == ("ana", "8")
    names[7], names[8] = "bob", "ben"
    assert (owner(7), owner(8)) == ("ana", "ben")
    later = time.monotonic() + 601
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert owner(7) == "bob"
    names.clear()
    monkeypatch.setattr(time, "monotonic", lambda: later + 601)
    assert (owner(7), owner(8), owner(9)) == ("bob", "ben", "9")


@needs_proc
def test_this_machine_is_what_psutil_says() -> None:
    epoch = int(time.time())
    with subprocess.Popen(["sleep", "60"]) as child:
        before, ours = sample_by_psutil("me", epoch), sampler()("me", epoch)
        after = sample_by_psutil("me", epoch)
        child.kill()
    first = {process.pid: process for process in before.processes}
    last = {process.pid: process for process in after.processes}
    living = [p for p in ours.processes if p.pid in first and p.pid in last]
    assert {child.pid, os.getpid(), os.getppid()} <= {process.pid for process in living}
    for process in living:
        low, high = first[process.pid], last[process.pid]
        assert process.username in (low.username, high.username)
        assert low.cputimes <= process.cputimes <= high.cputimes
        assert process.etimes == low.etimes
        # psutil completes a name of 15 bytes from the command line, which we never read.
        if "kworker" not in process.comm:
            assert process.comm[:15] in (low.comm[:15], high.comm[:15])
    mine = next(process for process in living if process.pid == os.getpid())
    assert mine.rss == pytest.approx(psutil.Process().memory_info().rss, rel=0.2)
    assert before.machine is not None
    assert ours.machine is not None
    assert after.machine is not None
    assert before.machine.cpu_seconds <= ours.machine.cpu_seconds <= after.machine.cpu_seconds
    assert ours.machine.memory_used_bytes == pytest.approx(
        before.machine.memory_used_bytes, rel=0.2
    )
    same = ("cores", "memory_bytes", "boot_epoch")
    for name in same:
        assert getattr(ours.machine, name) == getattr(before.machine, name), name
