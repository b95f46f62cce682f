"""A timer that adds up how long each step took, for the log and for asset metadata."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


class Timer:
    """Adds up the seconds of named steps; a repeated step adds to its sum.

    Attributes:
        seconds: step to seconds, in the order in which the steps first ended.

    >>> timer = Timer()
    >>> with timer("read"):
    ...     pass
    >>> list(timer.seconds)
    ['read']
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time one step, even if the step fails."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begun
            self.seconds[step] = self.seconds.get(step, 0.0) + spent
            log.debug("%s took %.3f s", step, spent)

    def __str__(self) -> str:
        return ", ".join(f"{step} {seconds:.3f} s" for step, seconds in self.seconds.items())
