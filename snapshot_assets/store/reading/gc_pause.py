"""Pausing the garbage collector for milliseconds while thousands of documents are decoded.

Each new dict counts towards the collector's thresholds, so decoding a month runs the collector
hundreds of times, sometimes over every object of the program. The collector took half of the time
and caused all outliers. Decoding makes no cycles, so there is nothing to collect meanwhile.
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
    """Pause automatic collection; it resumes when the last of overlapping threads is done.

    If the program has switched the collector off, the collector stays off.
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
