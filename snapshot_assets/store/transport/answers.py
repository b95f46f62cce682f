"""From the bytes of an answer to hosts and numbers. No connection and no key belongs here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from snapshot_assets.errors import StoreError


def pairs(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """Fields and values of a hash. The protocol RESP3 sends a map, RESP2 a flat list."""
    if isinstance(answer, Mapping):
        return answer.items()
    return zip(answer[::2], answer[1::2], strict=True)


def decoded_host(raw: bytes, key: str) -> str:
    """The host name from bytes that Redis holds under this key.

    Raises:
        StoreError: the bytes are not UTF-8, so another program wrote them.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise _foreign(raw, key) from None


def decoded_number(raw: bytes, key: str) -> float:
    """The number from bytes that Redis holds under this key.

    Raises:
        StoreError: the bytes are not a number, so another program wrote them.
    """
    try:
        return float(raw)
    except ValueError:
        raise _foreign(raw, key) from None


def _foreign(raw: bytes, key: str) -> StoreError:
    return StoreError(
        f"snapshot_assets did not write {raw!r} under {key!r}; another program uses the same keys, "
        "so set SNAPSHOT_KEY_PREFIX"
    )
