"""Imported by every Python under a shifted clock: a sleep that libfaketime 0.9.10 does not break.

Python sleeps until a time of the monotonic clock. libfaketime shifts that time, although it does
not shift the monotonic clock itself, and the kernel rejects the result. (The monotonic clock must
not be shifted: MariaDB and locks would wait for ever.) A ``select`` without files waits equally
long.
"""

import select
import time
from typing import SupportsIndex


def _sleep(seconds: float | SupportsIndex, /) -> None:
    length = float(seconds)
    if length < 0:
        raise ValueError("sleep length must be non-negative")
    select.select([], [], [], length)


time.sleep = _sleep
