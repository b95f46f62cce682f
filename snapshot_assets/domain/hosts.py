"""Host names are data: they may hold ``|``, ``/``, ``..``, quotes, anything. Two safe spellings.

A *partition key* keeps names readable and only encodes what Dagster reserves; a *file name* also
survives file systems that ignore case. Both are percent-encodings, so different hosts never meet.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

# "|" joins dimensions, "..." ranges, "," lists on command lines; "/" and quotes break page URLs.
_RESERVED_IN_KEYS = re.compile(r"""[%|,/\\'"\[\]\x00-\x1f\x7f-\x9f]|\.(?=\.)|^\s|\s$|^$""")
_SAFE_IN_FILE_NAMES = re.compile(r"[a-z0-9_.-]")
_LONGEST_FILE_NAME = 200
# What the empty name becomes: no percent-encoding produces it.
_EMPTY = "%"


def partition_key(host: str) -> str:
    """The host as a partition key; :func:`host_of_partition_key` gives it back."""
    if not host:
        return _EMPTY
    return _RESERVED_IN_KEYS.sub(lambda match: _percent(match[0]), host)


def host_of_partition_key(key: str) -> str:
    """The inverse of :func:`partition_key`."""
    return "" if key == _EMPTY else unquote(key, errors="strict")


def file_name(host: str) -> str:
    """The host as one path component, at most 200 characters, unlike that of any other host."""
    if not host:
        return _EMPTY
    encoded = "".join(
        char if _SAFE_IN_FILE_NAMES.fullmatch(char) else _percent(char) for char in host
    )
    if encoded.startswith("."):
        encoded = _percent(".") + encoded[1:]
    if len(encoded) > _LONGEST_FILE_NAME:
        digest = hashlib.sha256(host.encode()).hexdigest()[:32]
        # "~" is always encoded, so that a shortened name is never another's full name.
        encoded = f"{encoded[: _LONGEST_FILE_NAME - len(digest) - 1]}~{digest}"
    return encoded


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
