"""Run all tests but those in the browser under shifted clocks, near the ends of days.

``make test-long`` runs this script. Each clock is a run of its own, which takes as long as the
tests do. The script prints a line for each run, and fails if a run fails. Its arguments go to
pytest.

libfaketime shifts the clock of a process and of all that the process starts, MariaDB and Redis
included. It needs Linux with glibc: macOS does not load libraries into the system's own programs.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

# In UTC: a month ends during the run; Europe's clocks change at 01:00 UTC of the same day, after
# the start of the run; a year is some hours old. The tests' fixed days are long past.
CLOCKS = ("2027-02-28 23:57", "2027-03-28 00:10", "2027-10-31 00:40", "2028-01-01 02:10")

ROOT = Path(__file__).parent.parent
LOGS = ROOT / ".clocks"
_SHIFT_WITHIN_SECONDS = 60.0
_LIBRARIES = (
    "lib/*/faketime/libfaketime.so.1",
    "lib*/faketime/libfaketime.so.1",
    "local/lib/faketime/libfaketime.so.1",
)


def find_library() -> str | None:
    """The path of libfaketime, if it is installed."""
    found = [str(file) for pattern in _LIBRARIES for file in sorted(Path("/usr").glob(pattern))]
    return found[0] if found else None


def require_library() -> str:
    """The path of libfaketime; installs it with apt-get if it is missing and this is root."""
    if platform.system() != "Linux":
        sys.exit(
            f"clocks: not possible on {platform.system()}: libfaketime cannot be loaded into the "
            "system's own programs. Run 'make test-long' on Linux, for example in a container"
        )
    if (found := find_library()) is None and shutil.which("apt-get") and os.getuid() == 0:
        print("clocks: installing faketime", file=sys.stderr)
        for command in (["update", "-qq"], ["install", "-y", "-qq", "faketime"]):
            subprocess.run(["apt-get", *command], check=True, stdout=subprocess.DEVNULL)
        found = find_library()
    if found is None:
        sys.exit(
            "clocks: the tests need libfaketime. Debian, Ubuntu: sudo apt-get install faketime; "
            "Fedora: sudo dnf install libfaketime"
        )
    return found


def environment(library: str, begins: float) -> dict[str, str]:
    """The variables that start the clock of a process and its children at an epoch second."""
    paths = [str(ROOT / "tools" / "faketime"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        # libc first: with jemalloc, which Debian's Redis uses, libfaketime would recurse for ever.
        "LD_PRELOAD": f"{library} libc.so.6",
        # An offset, as a start time would begin again in each process.
        "FAKETIME": f"{begins - time.time():+.0f}",
        # The monotonic clock stays, so that waits in locks end.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        # The times of files stay; otherwise Python would compile all sources again.
        "NO_FAKE_STAT": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def require_shift(variables: dict[str, str], begins: float) -> None:
    """Exit with an error if the clock is not shifted, or if a process cannot sleep under it."""
    script = "import time; time.sleep(0.01); print(time.time())"
    done = subprocess.run(
        [sys.executable, "-c", script], env=variables, capture_output=True, text=True, check=False
    )
    if done.returncode or abs(float(done.stdout) - begins) > _SHIFT_WITHIN_SECONDS:
        sys.exit(f"clocks: libfaketime does not shift the clock: {done.stdout}{done.stderr}")


def run(library: str, clock: str, arguments: list[str]) -> bool:
    """Run the tests at a clock, report it in one line, and return whether they passed."""
    begins = dt.datetime.fromisoformat(f"{clock}:00+00:00").timestamp()
    variables = environment(library, begins)
    require_shift(variables, begins)
    LOGS.mkdir(exist_ok=True)
    log = LOGS / f"{clock.replace(' ', 'T').replace(':', '')}.log"
    began = time.monotonic()
    with log.open("w") as output:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "--ignore-glob=*/dashboard/browser/*", *arguments],
            cwd=ROOT,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    lines = log.read_text(errors="replace").splitlines()
    last = lines[-1].strip("= ") if lines else "no output"
    word = "ok" if done.returncode == 0 else "FAILED"
    print(f"clocks: {clock} UTC {word} after {time.monotonic() - began:.0f} s: {last}", flush=True)
    if done.returncode:
        print("\n".join(line for line in lines if line.startswith(("FAILED", "ERROR"))))
        print(f"clocks: the whole output is in {log}", flush=True)
    return done.returncode == 0


def main() -> int:
    """Run every clock, even if one fails."""
    library = require_library()
    # To investigate a failure, the variable CLOCKS chooses clocks: CLOCKS="2027-02-28 23:57".
    clocks = [c.strip() for c in os.environ.get("CLOCKS", ",".join(CLOCKS)).split(",")]
    passed = [run(library, clock, sys.argv[1:]) for clock in clocks]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
