"""The errors for packed bytes that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


class PackingError(ValueError):
    """A text is damaged, of another format, or of an unknown version; the message says which."""


def unknown_version(found: object, newest: int) -> PackingError:
    """The error for a version outside ``1`` to ``newest``."""
    return PackingError(
        f"it has version {str(found)!r}, this snapshot_assets reads 1 to {newest}; update the "
        "older of reader and writer"
    )


@contextmanager
def damage_reported() -> Iterator[None]:
    """Turn the errors of decoders into PackingError.

    Raises:
        PackingError: the block raises an error that damaged bytes can cause.
    """
    try:
        yield
    except PackingError:
        raise
    except (ValueError, TypeError, OverflowError, OSError, pa.ArrowException) as error:
        raise PackingError(f"it is damaged ({error})") from None
