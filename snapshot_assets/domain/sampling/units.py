"""The unit of ``rss``, found by the values."""

from __future__ import annotations

import pandas as pd

_PAGE_BYTES = 4096
_KIB = 1024
# A unit is recognised when at least this share of the values are whole pages in that unit.
_MOSTLY = 0.9


def likely_rss_unit(rows: pd.DataFrame, configured: str) -> str | None:
    """The unit that the source's ``rss`` seems to have; None if the values do not show a unit.

    The kernel counts memory in pages of 4096 bytes. Values in bytes are therefore multiples of
    4096. Values in KiB are multiples of 4, and most of them are not multiples of 4096.

    Args:
        rows: raw rows; ``rss`` is in bytes if ``configured`` is right.
        configured: ``bytes`` or ``KiB``.

    Returns:
        ``bytes``, ``KiB``, or None; always None for fewer than 20 rows with memory.
    """
    rss = rows["rss"].to_numpy()
    source = rss[rss > 0] // (_KIB if configured == "KiB" else 1)
    if len(source) < 20:
        return None
    whole_pages = float((source % _PAGE_BYTES == 0).mean())
    whole_quads = float((source % (_PAGE_BYTES // _KIB) == 0).mean())
    if whole_pages >= _MOSTLY:
        return "bytes"
    return "KiB" if whole_quads >= _MOSTLY else None
