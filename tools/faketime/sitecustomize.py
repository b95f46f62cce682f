"""Imported by every Python under a shifted clock: sleeps that libfaketime 0.9.10 does not break.

Python sleeps until a moment of the monotonic clock. libfaketime turns that moment into one of the
shifted clock, although the monotonic clock itself is not shifted (it must not be: MariaDB and locks
would wait for ever), and the kernel rejects the result. Waiting for no file lasts as long.
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
