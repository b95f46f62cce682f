"""Holding off the garbage collector for milliseconds while thousands of documents are decoded.

Each new dict counts towards the collector's thresholds, so that decoding a month runs it hundreds
of times, some of them over every object of the host program: half of the time and all of the
outliers. Decoding makes no cycles, so there is nothing to collect meanwhile.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_pausing = 0
_was_enabled = False


@contextmanager
def gc_paused() -> Iterator[None]:
    """Hold off automatic collection; afterwards it is as before, whichever threads overlapped.

    A program that has switched the collector off finds it off.
    """
    global _pausing, _was_enabled
    with _lock:
        if not _pausing:
            _was_enabled = gc.isenabled()
            gc.disable()
        _pausing += 1
    try:
        yield
    finally:
        with _lock:
            _pausing -= 1
            if not _pausing and _was_enabled:
                gc.enable()
