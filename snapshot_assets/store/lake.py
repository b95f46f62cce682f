"""The lake: Parquet files, one per dataset, day and host, on any file system fsspec knows.

A file is replaced whole and atomically; a reader sees the old one or the new one. What the frames
mean is told by the schemas of the domain. No pickle, ever.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import uuid
from pathlib import Path
from typing import Any, Literal

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from snapshot_assets.domain.hosts import file_name
from snapshot_assets.errors import LakeError
from snapshot_assets.store.arrow import to_arrow, to_pandas

Dataset = Literal["raw_process_rows", "five_minute_aggregates"]

_NOTE_KEY = b"snapshot_assets"


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
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise LakeError(
                f"{path} is damaged ({error}); materialize {dataset} of {host!r} on {day} again"
            ) from None

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
    return to_pandas(table), json.loads(table.schema.metadata[_NOTE_KEY])
