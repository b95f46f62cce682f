"""The lake: Parquet files, one per dataset, day and host, on any file system fsspec knows.

A file is replaced whole and atomically; a reader sees the old one or the new one. What the frames
mean is told by the schemas of the domain. No pickle, ever.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from snapshot_assets.arrow import to_arrow, to_pandas
from snapshot_assets.domain.hosts import file_name
from snapshot_assets.errors import LakeError

Dataset = Literal["raw_process_rows", "five_minute_aggregates"]

_NOTE_KEY = b"snapshot_assets"
# Other files may lie about, such as those that file managers leave.
_DAY_FOLDER = re.compile(r"/day=(\d{4}-\d\d-\d\d)/?$")
_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class LakeEntry:
    """What a file says of itself without being read whole.

    Attributes:
        host: whose frame it is.
        rows: of the frame.
        note: what was kept with it, see :meth:`Lake.write`.
    """

    host: str
    rows: int
    note: dict[str, Any]


class Lake:
    """Frames kept as ``<base>/<dataset>/day=<day>/host=<host>.parquet``, zstd-compressed.

    Args:
        base: fsspec URL or local path, for example ``data/lake`` or ``s3://bucket/lake``.
    """

    def __init__(self, base: str) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(base)
        except (ValueError, ImportError) as error:
            raise LakeError(f"SNAPSHOT_LAKE {base!r} cannot be used: {error}") from None
        self.base = base

    def __repr__(self) -> str:
        return f"Lake({self.base!r})"

    def path(self, dataset: Dataset, day: dt.date, host: str) -> str:
        """Where the frame of this day and host is, or would be."""
        return f"{self._root}/{dataset}/day={day.isoformat()}/host={file_name(host)}.parquet"

    def write(
        self,
        dataset: Dataset,
        day: dt.date,
        host: str,
        frame: pd.DataFrame,
        note: dict[str, Any] | None = None,
    ) -> int:
        """Replace the file of this day and host.

        Args:
            dataset: which stage the frame is of.
            day: UTC day of the partition.
            host: host of the partition, any text.
            frame: the stage's frame; its index is not kept.
            note: JSON-able facts kept inside the file, such as the ledger.

        Returns:
            Bytes written. The same frame and note give the same bytes.

        Raises:
            LakeError: the file system refuses.
        """
        content = _to_parquet(frame, {"host": host, **(note or {})})
        path = self.path(dataset, day, host)
        try:
            self._replace(path, content)
        except OSError as error:
            raise LakeError(f"cannot write {path}: {error}") from error
        return len(content)

    def read(
        self, dataset: Dataset, day: dt.date, host: str
    ) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The frame of this day and host, and the note kept with it.

        Raises:
            LakeError: there is no such file, or it is damaged.
        """
        path = self.path(dataset, day, host)
        try:
            content = self._fs.cat_file(path)
        except FileNotFoundError:
            raise LakeError(
                f"{dataset} of {host!r} on {day} is not in the lake ({path}); materialize it first"
            ) from None
        except OSError as error:
            raise LakeError(f"cannot read {path}: {error}") from error
        try:
            return _from_parquet(content)
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise LakeError(
                f"{path} is damaged ({error}); materialize {dataset} of {host!r} on {day} again"
            ) from None

    def days(self, dataset: Dataset) -> list[dt.date]:
        """The days that have a file of any host, ascending; none of a lake that is not there yet.

        Raises:
            LakeError: the lake cannot be listed.
        """
        found = [_DAY_FOLDER.search(name) for name in self._list(f"{self._root}/{dataset}")]
        return sorted(dt.date.fromisoformat(match[1]) for match in found if match)

    def entries(
        self,
        dataset: Dataset,
        day: dt.date,
        on_damage: Callable[[LakeError], None] | None = None,
    ) -> Iterator[LakeEntry]:
        """What each file of a day says of itself, from its footer alone, by file name.

        Args:
            dataset: which stage.
            day: UTC day.
            on_damage: told of each file that cannot be read, which is then left out.

        Raises:
            LakeError: a file is damaged and nobody is to be told, or the lake cannot be listed.
        """
        for path in self._list(f"{self._root}/{dataset}/day={day.isoformat()}"):
            # Files may be replaced or removed while we look.
            if not path.endswith(".parquet"):
                continue
            try:
                entry = self._entry(path)
            except LakeError as error:
                if on_damage is None:
                    raise
                on_damage(error)
            else:
                if entry is not None:
                    yield entry

    def entry(self, dataset: Dataset, day: dt.date, host: str) -> LakeEntry | None:
        """What the file of this day and host says of itself; None if there is none.

        Raises:
            LakeError: it is damaged, or the lake cannot be read.
        """
        return self._entry(self.path(dataset, day, host))

    def from_newest(
        self, dataset: Dataset, day: dt.date, host: str, work: Callable[[], _Made]
    ) -> _Made:
        """Do work that reads this file, and do it again if the file was replaced meanwhile.

        So two runs on one partition at the same time leave what the newest file says, whichever of
        them ends last.
        """
        while True:
            version = self._version(dataset, day, host)
            made = work()
            if self._version(dataset, day, host) == version:
                return made

    def require_writable(self) -> None:
        """Write and remove a small file.

        Raises:
            LakeError: the lake cannot be written.
        """
        path = f"{self._root}/.writable-{uuid.uuid4().hex}"
        try:
            self._replace(path, b"")
            self._fs.rm_file(path)
        except OSError as error:
            raise LakeError(f"cannot write to the lake {self.base}: {error}") from error

    def _entry(self, path: str) -> LakeEntry | None:
        try:
            with self._fs.open(path, "rb") as file:
                footer = pq.read_metadata(file)
            note = _note(footer.metadata)
            return LakeEntry(note["host"], footer.num_rows, note)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise LakeError(f"cannot read {path}: {error}") from error
        except (pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise LakeError(
                f"{path} is damaged ({error}); remove it and materialize the day again"
            ) from None

    def _list(self, folder: str) -> list[str]:
        try:
            return sorted(self._fs.ls(folder, detail=False, refresh=True))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LakeError(f"cannot list {folder}: {error}") from error

    def _version(self, dataset: Dataset, day: dt.date, host: str) -> str | None:
        self._fs.invalidate_cache()
        try:
            return str(self._fs.ukey(self.path(dataset, day, host)))
        except OSError:
            return None  # reading it tells better what is wrong

    def _replace(self, path: str, content: bytes) -> None:
        if not isinstance(self._fs, LocalFileSystem):
            # Object stores show an object once its upload is complete.
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


def _to_parquet(frame: pd.DataFrame, note: dict[str, Any]) -> bytes:
    text = json.dumps(note, sort_keys=True, ensure_ascii=False)
    table = to_arrow(frame).replace_schema_metadata({_NOTE_KEY: text.encode()})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _from_parquet(content: bytes) -> tuple[pd.DataFrame, dict[str, Any]]:
    table = pq.read_table(io.BytesIO(content))
    return to_pandas(table), _note(table.schema.metadata)


def _note(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    note: dict[str, Any] = json.loads(metadata[_NOTE_KEY])
    return note
