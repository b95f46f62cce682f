"""Two safe spellings of host names, which may hold ``|``, ``/``, ``..``, quotes or anything else.

A *partition key* keeps names readable and only encodes what Dagster reserves. A *file name* also
survives file systems that ignore case. Both are percent-encodings, so two hosts never get the same
spelling.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import unquote

# Dagster joins dimensions with "|", ranges with "..." and lists on command lines with ",". A "/" or
# a quote breaks the URLs of its pages.
_RESERVED_IN_KEYS = re.compile(r"""[%|,/\\'"\[\]\x00-\x1f\x7f-\x9f]|\.(?=\.)|^\s|\s$|^$""")
_SAFE_IN_FILE_NAMES = re.compile(r"[a-z0-9_.-]")
_LONGEST_FILE_NAME = 200
# The spelling of the empty name; no percent-encoding produces a lone percent sign.
_EMPTY = "%"


def partition_key(host: str) -> str:
    """The host as a partition key; :func:`host_of_partition_key` is the inverse."""
    if not host:
        return _EMPTY
    return _RESERVED_IN_KEYS.sub(lambda match: _percent(match[0]), host)


def host_of_partition_key(key: str) -> str:
    """The inverse of :func:`partition_key`."""
    return "" if key == _EMPTY else unquote(key, errors="strict")


def file_name(host: str) -> str:
    """The host as one path component of at most 200 characters, different for each host."""
    if not host:
        return _EMPTY
    encoded = "".join(
        char if _SAFE_IN_FILE_NAMES.fullmatch(char) else _percent(char) for char in host
    )
    if encoded.startswith("."):
        encoded = _percent(".") + encoded[1:]
    if len(encoded) > _LONGEST_FILE_NAME:
        digest = hashlib.sha256(host.encode()).hexdigest()[:32]
        # "~" is always encoded, so a shortened name never equals the full name of another host.
        encoded = f"{encoded[: _LONGEST_FILE_NAME - len(digest) - 1]}~{digest}"
    return encoded


def _percent(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())
