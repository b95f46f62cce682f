"""The datasets of the lake, and the note that each file carries.

A note is JSON in the footer of the file, so a note is read without the rows. It has the keys of
version 0.1 and those that later versions added; a reader ignores keys that it does not know.
:mod:`snapshot_assets.lake.lake` decides where a file is and how it is replaced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import numpy as np

from snapshot_assets.domain.fingerprint import Recipe, digest_of, fingerprint
from snapshot_assets.domain.ledger import Ledger
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    MachineRows,
    RawProcessRows,
    numbers_of,
)
from snapshot_assets.domain.time import Window


class Note(Protocol):
    """What a file holds besides its rows."""

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        ...

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`.

        Raises:
            ValueError: a value is missing or of another type; the message names its key.
        """
        ...


NoteT = TypeVar("NoteT", bound=Note)


@dataclass(frozen=True, slots=True)
class Dataset(Generic[NoteT]):
    """A folder of the lake.

    Attributes:
        name: name of the folder.
        note: type of the notes in its files.
        columns: the columns of numbers, with the types that this version has. Files of earlier
            versions have fewer of them, or whole numbers.
    """

    name: str
    note: type[NoteT]
    columns: Mapping[str, np.dtype]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RawNote:
    """The note of the raw rows of a host-day.

    Attributes:
        newest_epoch: time of the newest row, epoch seconds; None without rows.
        read_from: the rows with a time from here on were read, epoch seconds; None if an earlier
            version, which did not say it, wrote the file.
        read_until: the end of that half-open range; None as ``read_from``.
        recipe: the settings with which the rows were read; empty if they are not known.
    """

    newest_epoch: float | None
    read_from: float | None = None
    read_until: float | None = None
    recipe: Recipe = field(default_factory=dict)

    def reaches(self, start: float, end: float) -> bool | None:
        """Whether all rows of this half-open range were read; None if that is not known."""
        if self.read_from is None or self.read_until is None:
            return None
        return self.read_from <= start and end <= self.read_until

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "newest_epoch": self.newest_epoch,
            "read_from": self.read_from,
            "read_until": self.read_until,
            "recipe": dict(self.recipe),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`.

        Raises:
            ValueError: a value is missing or of another type; the message names its key.
        """
        return cls(
            _epoch(data, "newest_epoch"),
            _epoch({"read_from": None, **data}, "read_from"),
            _epoch({"read_until": None, **data}, "read_until"),
            _recipe(data),
        )


@dataclass(frozen=True, slots=True)
class AggregatesNote:
    """The note of the aggregates of a host-day.

    Attributes:
        ledger: what became of the raw rows.
        buckets: the day's buckets that the aggregates have, as :meth:`Window.encode` writes them.
        raw_rows: number of raw rows that the aggregates were made from.
        raw_newest_epoch: time of the newest of those rows, epoch seconds; None without rows.
        recipe: the settings that made the aggregates, as :mod:`snapshot_assets.domain.fingerprint`
            writes them; empty if an earlier version, which did not keep them, wrote the file.
        digest: the digest of the aggregates; empty as the recipe.
    """

    ledger: Ledger
    buckets: str
    raw_rows: int
    raw_newest_epoch: float | None
    recipe: Recipe = field(default_factory=dict)
    digest: str = ""

    @property
    def fingerprint(self) -> str:
        """One short text for the settings and the content of the aggregates."""
        return fingerprint(self.recipe, self.digest or self._digest_of_earlier_versions())

    def _digest_of_earlier_versions(self) -> str:
        """What stands for the content of a file whose note has no digest.

        It is made of what such notes have, so that the file need not be read.
        """
        cpu_seconds = self.ledger.attributed_cpu_seconds
        return digest_of([self.raw_rows, self.raw_newest_epoch, self.buckets, cpu_seconds])

    def bucket_starts(self, window: Window) -> list[int]:
        """The buckets that the aggregates have, epoch seconds, ascending.

        Args:
            window: the day of the file.
        """
        return window.decode(self.buckets)

    def is_made_from(self, rows: int, note: RawNote) -> bool:
        """Whether the aggregates were made from the raw file with this number of rows and note."""
        return (self.raw_rows, self.raw_newest_epoch) == (rows, note.newest_epoch)

    def as_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "ledger": self.ledger.as_dict(),
            "buckets": self.buckets,
            "raw_rows": self.raw_rows,
            "raw_newest_epoch": self.raw_newest_epoch,
            "recipe": dict(self.recipe),
            "digest": self.digest,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`.

        Raises:
            ValueError: a value is missing or of another type; the message names its key.
        """
        buckets = _value(data, "buckets", str)
        try:
            int(buckets, 16)
        except ValueError:
            raise ValueError(f"'buckets' of its note is {buckets!r}, not hexadecimal") from None
        try:
            ledger = Ledger.from_dict(_value(data, "ledger", dict))
        except TypeError as error:
            raise ValueError(f"'ledger' of its note: {error}") from None
        return cls(
            ledger,
            buckets,
            _value(data, "raw_rows", int),
            _epoch(data, "raw_newest_epoch"),
            _recipe(data),
            _value({"digest": "", **data}, "digest", str),
        )


RAW_ROWS: Final = Dataset("raw_process_rows", RawNote, numbers_of(RawProcessRows))
# The kernel's count of the same host-day; written before the raw rows, and read with them.
MACHINE_ROWS: Final = Dataset("raw_machine_rows", RawNote, numbers_of(MachineRows))
AGGREGATES: Final = Dataset(
    "five_minute_aggregates", AggregatesNote, numbers_of(FiveMinuteAggregates)
)


def dump_note(host: str, note: Note) -> bytes:
    """The text in the footer of a file; the same host and note give the same bytes."""
    content = {"host": host, **note.as_dict()}
    return json.dumps(content, sort_keys=True, ensure_ascii=False).encode()


def load_note(text: bytes, kind: type[NoteT]) -> tuple[str, NoteT]:
    """The inverse of :func:`dump_note`: the host and the note.

    Raises:
        ValueError: the text is not JSON, or a value is missing or of another type.
    """
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError(f"its note is {type(data).__name__}, not an object")
    return _value(data, "host", str), kind.from_dict(data)


_Value = TypeVar("_Value")


def _value(data: Mapping[str, Any], key: str, kind: type[_Value]) -> _Value:
    if key not in data:
        raise ValueError(f"its note has no {key!r}")
    value = data[key]
    if not isinstance(value, kind):
        raise ValueError(f"{key!r} of its note is {type(value).__name__}, not {kind.__name__}")
    return value


def _recipe(data: Mapping[str, Any]) -> dict[str, str]:
    """The recipe; empty in notes of earlier versions."""
    recipe = _value({"recipe": {}, **data}, "recipe", dict)
    if wrong := [name for name, text in recipe.items() if not isinstance(text, str)]:
        raise ValueError(f"{wrong[0]!r} in 'recipe' of its note is not text")
    return recipe


def _epoch(data: Mapping[str, Any], key: str) -> float | None:
    """The epoch seconds under this key, or None. Files hold a float; an integer is accepted too."""
    if key in data and data[key] is None:
        return None
    if isinstance(data.get(key), int):
        return float(data[key])
    return _value(data, key, float)
