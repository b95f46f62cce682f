"""The colour of each user and command: the same in each chart, on each day, in each process.

A colour follows from the name alone, never from its rank: a user who uses more keeps the colour.
There are more names than distinguishable colours; names that share a colour in a chart differ by
pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from snapshot_assets.domain.frames import OTHER

# Found by search over hue, saturation and lightness. Each has a contrast of 3 to 1 at least with
# the light page, #ffffff, and with the dark one, #12161c. Any two, the grey included, are 20
# apart (CIEDE2000), and 12 as seen with protanopia, deuteranopia or tritanopia (Machado 2009):
# about 2 can just be noticed side by side. An eighth colour brings the 12 down to 10. Another
# number of them, or another order, gives everybody another colour.
PALETTE: tuple[str, ...] = (
    "#1890fc",
    "#b48418",
    "#d80c60",
    "#0c7860",
    "#3c54e4",
    "#606c0c",
    "#846090",
)
OTHER_COLOUR = "#80868c"
# For charts of a whole host. Everybody can distinguish blue and yellow.
CPU_COLOUR = "#1890fc"
MEMORY_COLOUR = "#b48418"

# Plotly's fillpattern shapes; plain first, then those that differ most.
PATTERNS: tuple[str, ...] = ("", "/", ".", "x", "-", "\\", "|", "+")

# With this salt, few everyday commands share a colour.
_SALT = b"2010"
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Look:
    """How a name is drawn: its colour, and the shape of plotly's ``fillpattern``."""

    colour: str
    pattern: str = ""


def colour_of(name: str) -> str:
    """The colour of a user or a command."""
    if name == OTHER:
        return OTHER_COLOUR
    # Not hash(), which differs between processes. A name may hold surrogates.
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, salt=_SALT).digest()
    return PALETTE[int.from_bytes(digest, "big") % len(PALETTE)]


def looks(names: Iterable[str]) -> Mapping[str, Look]:
    """How the names of one chart are drawn.

    The colour depends on the name alone. Where names share one, they get different patterns, in
    the order of the alphabet and not of the chart; more than eight to a colour would repeat.
    """
    shared: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        shared.setdefault(colour_of(name), []).append(name)
    return {
        name: Look(colour, PATTERNS[i % len(PATTERNS)])
        for colour, same in shared.items()
        for i, name in enumerate(same)
    }


def contrast(first: str, second: str) -> float:
    """The contrast of two colours as WCAG defines it, from 1 to 21.

    Raises:
        ValueError: not a colour like ``#12161c``.
    """
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    if not _HEX.fullmatch(colour):
        raise ValueError(f"{colour!r} is not a colour; write it like #12161c")
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(value: float) -> float:
    """One channel of sRGB as an amount of light."""
    return value / 12.92 if value <= 0.04045 else float(((value + 0.055) / 1.055) ** 2.4)
