"""What ``make bench`` runs: the benchmarks of this folder, one after the other.

``python -m benchmarks`` runs those of ``make bench``; ``python -m benchmarks operate --hosts 12``
runs one, with its own arguments; ``--tiny`` in front gives each the arguments by which it ends in
seconds, whose figures mean nothing: so the tests see that every benchmark still runs.
"""

from __future__ import annotations

import subprocess
import sys

# Benchmark -> the arguments of --tiny.
TINY = {
    "settle_day": ["--rows", "4000", "--hosts", "2", "--repeat", "1", "--hosts-per-group", "1"],
    "read_store": ["--hosts", "5", "6", "--days", "2", "--seconds", "0"],
    "write_store": ["--settled-hosts", "2", "--live-hosts", "2", "3", "--turns", "1"],
    "choices": ["--days", "2", "--seconds", "0", "--objects", "1000"],
    "dashboard": ["--hosts", "5", "--days", "2", "--rounds", "1"],
    "operate": ["--hosts", "2", "--processes", "5", "--ticks", "1"],
}
# It takes the better part of an hour, and is run by its name.
_NOT_IN_ALL = ("operate",)


def main(arguments: list[str]) -> int:
    """Run what the arguments name; the exit code is that of the first that fails."""
    tiny = arguments[:1] == ["--tiny"]
    named, given = arguments[tiny : tiny + 1], arguments[tiny + 1 :]
    if named and named[0] not in TINY:
        print(f"benchmarks: choose one of {', '.join(TINY)}, or none for all", file=sys.stderr)
        return 2
    for name in named or [name for name in TINY if name not in _NOT_IN_ALL]:
        # Each in a process of its own: memory is measured, too. Dagster warns of what is beta.
        command = [sys.executable, "-W", "ignore", "-m", f"benchmarks.{name}"]
        done = subprocess.run([*command, *(TINY[name] if tiny else []), *given], check=False)
        if done.returncode:
            print(f"benchmarks: {name} failed", file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
