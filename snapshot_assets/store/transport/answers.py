"""From the bytes of an answer to hosts and numbers. No connection and no key belongs here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from snapshot_assets.errors import StoreError


def pairs(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """Fields and values of a hash, which RESP3 gives as a map and RESP2 as a list."""
    if isinstance(answer, Mapping):
        return answer.items()
    return zip(answer[::2], answer[1::2], strict=True)


def decoded_host(raw: bytes, key: str) -> str:
    """The host whose name is kept as these bytes under this key.

    Raises:
        StoreError: another program wrote them.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _foreign(raw, key) from None


def decoded_number(raw: bytes, key: str) -> float:
    """The number that is kept as these bytes; raises as :func:`decoded_host`."""
    try:
        return float(raw)
    except ValueError:
        raise _foreign(raw, key) from None


def _foreign(raw: bytes, key: str) -> StoreError:
    return StoreError(
        f"{raw!r} under {key!r} was not written by snapshot_assets; another program uses the same "
        "keys, set SNAPSHOT_KEY_PREFIX"
    )
