"""The lake: Parquet files, one per dataset, day and host, on any file system that fsspec knows.

A file is replaced whole and atomically: a reader gets the old file or the new file.
:mod:`snapshot_assets.domain.schemas` describes the tables, and :mod:`snapshot_assets.lake.notes`
the notes. No pickle, ever.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import re
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from snapshot_assets.arrow import to_arrow, to_pandas
from snapshot_assets.domain.hosts import file_name
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.notes import Dataset, Note, NoteT, dump_note, load_note
from snapshot_assets.urls import ESCAPE, masked, secrets_of

_NOTE_KEY = b"snapshot_assets"
# The folder may hold other files too, for example those that file managers leave.
_DAY_FOLDER = re.compile(r"/day=(\d{4}-\d\d-\d\d)/?$")
_Made = TypeVar("_Made")
_REJECTED = (
    "the file system rejects it; is the server up, and does it let this user in? User and password "
    "can also stay in the environment, as the driver of the file system documents"
)


@dataclass(frozen=True, slots=True)
class LakeEntry(Generic[NoteT]):
    """What the footer of a file says, without the file's columns.

    Attributes:
        host: the host of the rows.
        rows: number of rows.
        note: the note in the file.
    """

    host: str
    rows: int
    note: NoteT


class Lake:
    """Tables in ``<base>/<dataset>/day=<day>/host=<host>.parquet``, zstd-compressed.

    Args:
        base: fsspec URL or local path, for example ``data/lake`` or ``s3://bucket/lake``.

    Raises:
        LakeError: fsspec does not know the URL, a package for this kind of URL is missing, or the
            server does not let this user in.

    Attributes:
        base: as given, without secrets.
    """

    def __init__(self, base: str) -> None:
        self._secrets = secrets_of(base, users=True)
        self.base = masked(base, self._secrets)
        try:
            self._fs, self._root = fsspec.core.url_to_fs(base)
        except Exception as error:  # each file system has errors of its own
            # A URL that is taken apart wrongly puts a piece of its password into the error.
            reason = f"{type(error).__name__}: {error}"
            if self._secrets:
                reason = f"{_REJECTED}. {ESCAPE}"
            raise LakeError(f"SNAPSHOT_LAKE {self.base!r} cannot be used: {reason}") from None

    def __repr__(self) -> str:
        return f"Lake({self.base!r})"

    def path(self, dataset: Dataset, day: dt.date, host: str) -> str:
        """The path of the file of this day and host, whether or not the file exists."""
        return f"{self._root}/{dataset}/day={day.isoformat()}/{_file_of(host)}"

    def shown_path(self, dataset: Dataset, day: dt.date, host: str) -> str:
        """The path without secrets, for messages."""
        return masked(self.path(dataset, day, host), self._secrets)

    def write(
        self,
        dataset: Dataset[NoteT],
        day: dt.date,
        host: str,
        table: pd.DataFrame,
        note: NoteT,
    ) -> int:
        """Replace the file of this day and host.

        Args:
            dataset: the dataset that the table belongs to.
            day: UTC day of the rows.
            host: host of the rows, any text.
            table: the rows; the index is not kept.
            note: the note in the file.

        Returns:
            Number of bytes written. The same table, host and note give the same bytes.

        Raises:
            LakeError: the file cannot be written.
        """
        content = _to_parquet(table, host, note)
        path = self.path(dataset, day, host)
        try:
            self._replace(path, content)
        except OSError as error:
            raise self._error(f"cannot write {path}: {error}") from None
        return len(content)

    def read(self, dataset: Dataset[NoteT], day: dt.date, host: str) -> tuple[pd.DataFrame, NoteT]:
        """The table of this day and host, and the note in the file.

        Raises:
            LakeError: the file is missing, damaged or not readable.
        """
        path = self.path(dataset, day, host)
        try:
            content = self._fs.cat_file(path)
        except FileNotFoundError:
            raise self._error(
                f"{dataset} of {host!r} on {day} is not in the lake ({path}); materialize it first"
            ) from None
        except OSError as error:
            raise self._error(f"cannot read {path}: {error}") from None
        try:
            return _from_parquet(content, dataset)
        except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
            raise self._error(
                f"{path} is damaged ({error}); materialize {dataset} of {host!r} on {day} again"
            ) from None

    def days(self, dataset: Dataset) -> list[dt.date]:
        """The days that have a folder, ascending; empty if the lake does not exist yet.

        Raises:
            LakeError: the lake cannot be listed.
        """
        found = [_DAY_FOLDER.search(name) for name in self._list(f"{self._root}/{dataset}")]
        return sorted(dt.date.fromisoformat(match[1]) for match in found if match)

    def days_by_host(self, dataset: Dataset[NoteT]) -> dict[str, list[dt.date]]:
        """The days of each host that has a file, ascending; a host's newest file names the host.

        Raises:
            LakeError: the lake cannot be listed, or a file is damaged.
        """
        by_name: dict[str, list[dt.date]] = {}
        newest: dict[str, str] = {}
        for day in self.days(dataset):
            for path in self._list(f"{self._root}/{dataset}/day={day.isoformat()}"):
                if path.endswith(".parquet"):
                    name = path.rpartition("/")[2]
                    by_name.setdefault(name, []).append(day)
                    newest[name] = path
        named = {name: self._entry(dataset, path) for name, path in newest.items()}
        return {entry.host: by_name[name] for name, entry in named.items() if entry is not None}

    def read_file(self, name: str) -> bytes | None:
        """A file in the lake's own folder; None if there is none.

        Raises:
            LakeError: the file cannot be read.
        """
        path = f"{self._root}/{name}"
        try:
            return bytes(self._fs.cat_file(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(f"cannot read {path}: {error}") from None

    def write_file(self, name: str, content: bytes) -> None:
        """Replace a file in the lake's own folder.

        Raises:
            LakeError: the file cannot be written.
        """
        path = f"{self._root}/{name}"
        try:
            self._replace(path, content)
        except OSError as error:
            raise self._error(f"cannot write {path}: {error}") from None

    def entries(
        self,
        dataset: Dataset[NoteT],
        day: dt.date,
        on_damage: Callable[[LakeError], None] | None = None,
        without: Collection[str] = (),
    ) -> Iterator[LakeEntry[NoteT]]:
        """What the footers of a day's files say, in the order of the file names.

        Args:
            dataset: the dataset.
            day: UTC day.
            on_damage: called with the error of each file that cannot be read; such a file is left
                out.
            without: the files of these hosts are not opened.

        Raises:
            LakeError: the lake cannot be listed, or a file is damaged and there is no
                ``on_damage``.
        """
        left_out = {_file_of(host) for host in without}
        for path in self._list(f"{self._root}/{dataset}/day={day.isoformat()}"):
            if not path.endswith(".parquet") or path.rpartition("/")[2] in left_out:
                continue
            try:
                entry = self._entry(dataset, path)
            except LakeError as error:
                if on_damage is None:
                    raise
                on_damage(error)
            else:
                # None: the file was removed after the folder was listed.
                if entry is not None:
                    yield entry

    def entry(self, dataset: Dataset[NoteT], day: dt.date, host: str) -> LakeEntry[NoteT] | None:
        """What the footer of this day and host's file says; None if there is no such file.

        Raises:
            LakeError: the file is damaged or cannot be read.
        """
        return self._entry(dataset, self.path(dataset, day, host))

    def from_newest(
        self, dataset: Dataset, day: dt.date, host: str, work: Callable[[], _Made]
    ) -> _Made:
        """Do work that reads this file, and repeat the work if the file was replaced meanwhile.

        If two runs work on one partition at the same time, the result is that of the newest file,
        whichever run ends last.

        Returns:
            The result of the last call of ``work``.
        """
        while True:
            version = self._version(dataset, day, host)
            made = work()
            if self._version(dataset, day, host) == version:
                return made

    def require_writable(self) -> None:
        """Find out whether the lake can be written, without creating its folder.

        On this machine that needs no name of a file; elsewhere a small file is written and removed.

        Raises:
            LakeError: the lake cannot be written.
        """
        try:
            if isinstance(self._fs, LocalFileSystem):
                folder = next(
                    p for p in (Path(self._root), *Path(self._root).parents) if p.exists()
                )
                with tempfile.TemporaryFile(dir=folder):
                    return
            path = f"{self._root}/.writable-{uuid.uuid4().hex}"
            self._replace(path, b"")
            self._fs.rm_file(path)
        except OSError as error:
            raise self._error(f"cannot write to the lake {self.base}: {error}") from None

    def _error(self, text: str) -> LakeError:
        """An error without secrets: paths and errors of a file system may repeat the URL."""
        return LakeError(masked(text, self._secrets))

    def _entry(self, dataset: Dataset[NoteT], path: str) -> LakeEntry[NoteT] | None:
        try:
            with self._fs.open(path, "rb") as file:
                footer = pq.read_metadata(file)
            host, note = load_note(footer.metadata[_NOTE_KEY], dataset.note)
            return LakeEntry(host, footer.num_rows, note)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._error(f"cannot read {path}: {error}") from None
        except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise self._error(
                f"{path} is damaged ({error}); remove it and materialize the day again"
            ) from None

    def _list(self, folder: str) -> list[str]:
        try:
            return sorted(self._fs.ls(folder, detail=False, refresh=True))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._error(f"cannot list {folder}: {error}") from None

    def _version(self, dataset: Dataset, day: dt.date, host: str) -> str | None:
        self._fs.invalidate_cache()
        try:
            return str(self._fs.ukey(self.path(dataset, day, host)))
        except OSError:
            return None  # reading the file then raises a better error

    def _replace(self, path: str, content: bytes) -> None:
        if not isinstance(self._fs, LocalFileSystem):
            # Object stores replace an object only when its upload is complete.
            self._fs.pipe_file(path, content)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.parent / f".{uuid.uuid4().hex}.partial"
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _file_of(host: str) -> str:
    return f"host={file_name(host)}.parquet"


def _to_parquet(table: pd.DataFrame, host: str, note: Note) -> bytes:
    columns = to_arrow(table).replace_schema_metadata({_NOTE_KEY: dump_note(host, note)})
    buffer = io.BytesIO()
    pq.write_table(columns, buffer, compression="zstd")
    return buffer.getvalue()


def _from_parquet(content: bytes, dataset: Dataset[NoteT]) -> tuple[pd.DataFrame, NoteT]:
    table = pq.read_table(io.BytesIO(content))
    _, note = load_note(table.schema.metadata[_NOTE_KEY], dataset.note)
    return _to_this_version(to_pandas(table), dataset), note


def _to_this_version(table: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """The table with the columns and the types that files of this version have."""
    missing = {n: np.nan for n in dataset.columns if n not in table.columns}
    other = {n: t for n, t in dataset.columns.items() if n in table.columns and table[n].dtype != t}
    return table.assign(**missing).astype(other) if missing or other else table
