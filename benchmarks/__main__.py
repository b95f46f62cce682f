"""The command behind ``make bench``: runs benchmarks of this folder, one after the other.

``python -m benchmarks`` runs all of them but ``operate``. ``python -m benchmarks operate --hosts
12`` runs one, with its own arguments. With ``--tiny`` as the first argument, each benchmark gets
arguments by which it ends in seconds. Its figures then mean nothing; the tests use this to check
that every benchmark still runs.
"""

from __future__ import annotations

import subprocess
import sys

# Benchmark -> the arguments of --tiny.
TINY = {
    "settle_day": ["--rows", "4000", "--hosts", "2", "--repeat", "1", "--hosts-per-group", "1"],
    "prove": ["--rows", "4000", "--hosts", "2", "--turns", "1"],
    "read_store": ["--hosts", "5", "6", "--days", "2", "--seconds", "0"],
    "write_store": ["--settled-hosts", "2", "--live-hosts", "2", "3", "--turns", "1"],
    "collect": ["--processes", "5", "--turns", "2"],
    "choices": ["--days", "2", "--seconds", "0", "--objects", "1000"],
    "dashboard": ["--hosts", "5", "--days", "2", "--rounds", "1"],
    "operate": ["--hosts", "2", "--processes", "5", "--ticks", "1"],
}
# This benchmark takes most of an hour, so it runs only if it is named.
_NOT_IN_ALL = ("operate",)


def main(arguments: list[str]) -> int:
    """Run the benchmarks that the arguments name; return the first exit code that is not 0."""
    tiny = arguments[:1] == ["--tiny"]
    named, given = arguments[tiny : tiny + 1], arguments[tiny + 1 :]
    if named and named[0] not in TINY:
        print(f"benchmarks: choose one of {', '.join(TINY)}, or none for all", file=sys.stderr)
        return 2
    for name in named or [name for name in TINY if name not in _NOT_IN_ALL]:
        # Each runs in a process of its own, as memory is measured, too. "-W ignore" hides Dagster's
        # warnings of beta features.
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}"]
        done = subprocess.run([*command, *(TINY[name] if tiny else []), *given], check=False)
        if done.returncode:
            print(f"benchmarks: {name} failed", file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
