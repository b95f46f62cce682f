"""Passwords that are hard to write in a URL, and the search for their pieces in what is shown."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from hypothesis import strategies as st

from snapshot_assets.errors import SnapshotAssetsError

# Letters that no text of the program has four of in a row, and everything that a URL has to escape.
_LETTERS = "qvzjk7"
_AWKWARD = "#/?@:%[]&=+;,'\"\\ $!é€\N{ACCOUNT OF}\N{GRINNING FACE}"

passwords = st.builds(
    "{}{}{}".format,
    st.text(_LETTERS, min_size=2, max_size=4),
    st.text(_LETTERS + _AWKWARD, min_size=2, max_size=10),
    st.text(_LETTERS, min_size=2, max_size=4),
)
# Some that were shown in part once, each in its own way.
HARD = ("qx/zjkk", "qx?zj@kk:77", "qx#zjkk/qq", "[zjkq]xx", "qx@zjkk/x", "12%4z jk", "qz€jk#/q")
# As a person may write them: escaped, not at all, or some of the characters.
spellings = (
    lambda password: quote(password, safe=""),
    lambda password: password,
    lambda password: quote(password, safe="/:?#"),
    lambda password: quote(password, safe="@[]%"),
)


def assert_hidden(password: str, *texts: str) -> None:
    """No text has four consecutive characters of the password, written in any of the ways."""
    for text in texts:
        for spelling in {spell(password) for spell in spellings}:
            for i in range(len(spelling) - 3):
                assert spelling[i : i + 4] not in text, f"{spelling[i : i + 4]!r} is in {text!r}"


def told_by(error: BaseException) -> Iterator[str]:
    """All that a person may be shown of an error, its causes included."""
    yield str(error)
    yield repr(error)
    yield "".join(traceback.format_exception(error))


@contextmanager
def whatever_fails(texts: list[str]) -> Iterator[None]:
    """A block that may raise an error for people; its texts are kept."""
    try:
        yield
    except SnapshotAssetsError as error:
        texts += told_by(error)
