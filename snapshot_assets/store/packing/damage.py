"""What can be wrong with packed bytes, and how an error says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


class PackingError(ValueError):
    """Bytes that are not what they should be; the message says what they are."""


def unknown_version(found: object, newest: int) -> PackingError:
    """The error for a version outside ``1`` to ``newest``."""
    return PackingError(
        f"it is of version {str(found)!r}, this snapshot_assets reads 1 to {newest}; update the "
        "older of reader and writer"
    )


@contextmanager
def damage_reported() -> Iterator[None]:
    """While bytes are decoded: whatever a decoder raises comes out as PackingError."""
    try:
        yield
    except PackingError:
        raise
    except (ValueError, TypeError, OverflowError, OSError, pa.ArrowException) as error:
        raise PackingError(f"it is damaged ({error})") from None
