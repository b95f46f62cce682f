"""Notes: the JSON that version 0.1 wrote is what is written, and a wrong one is named."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import (
    AGGREGATES,
    RAW_ROWS,
    AggregatesNote,
    Dataset,
    Note,
    RawNote,
    dump_note,
    load_note,
)

DAY = dt.date(2026, 11, 20)
ZEROS = dict.fromkeys((row_class.label for row_class in RowClass), 0)
LEDGER = Ledger(
    rows_read=3,
    rows={**ZEROS, "attributed": 2, "first_seen": 1},
    window_rows={**ZEROS, "attributed": 2},
    attributed_cpu_seconds=300.25,
    covered_seconds=600.0,
    buckets=2,
)
# What version 0.1 wrote.
AGGREGATES_TEXT = (
    '{"buckets": "5", "host": "é|1", "ledger": {"attributed_cpu_seconds": 300.25, "buckets": 2, '
    '"covered_seconds": 600.0, "excluded_cpu_seconds": 0.0, "gap_cpu_seconds": 0.0, "rows": '
    '{"attributed": 2, "duplicate": 0, "excluded": 0, "first_seen": 1, "gap": 0}, "rows_read": 3, '
    '"window_rows": {"attributed": 2, "duplicate": 0, "excluded": 0, "first_seen": 0, "gap": 0}}, '
    '"raw_newest_epoch": 1795132800.5, "raw_rows": 3}'
)


RECIPE = {"max_gap": "900", "exclude_users": '"é"'}


@pytest.mark.parametrize(
    ("note", "text"),
    [
        (RawNote(1795132800.5), '{"host": "é|1", "newest_epoch": 1795132800.5}'),
        (RawNote(None), '{"host": "é|1", "newest_epoch": null}'),
        (AggregatesNote(LEDGER, "5", 3, 1795132800.5), AGGREGATES_TEXT),
    ],
)
def test_what_version_0_1_wrote_is_read_with_defaults(note: Note, text: str) -> None:
    """Version 0.1 had fewer classes and numbers: they are zero. It kept no recipe."""
    assert load_note(text.encode(), type(note)) == ("é|1", note)


@pytest.mark.parametrize(
    "note",
    [
        RawNote(7.5, 1.5, 9.0, RECIPE),
        RawNote(None),
        AggregatesNote(LEDGER, "5", 3, None, RECIPE, "abc"),
        AggregatesNote(LEDGER, "5", 3, 1795132800.5),
    ],
)
def test_a_note_reads_back(note: Note) -> None:
    assert load_note(dump_note("é|1", note), type(note)) == ("é|1", note)


def test_rows_know_how_far_they_reach() -> None:
    note = RawNote(7.5, 10.0, 20.0)
    assert note.reaches(10, 20)
    assert note.reaches(11, 19)
    assert note.reaches(9, 20) is False
    assert note.reaches(10, 21) is False
    assert RawNote(7.5).reaches(10, 20) is None, "earlier versions did not say it"


def test_the_fingerprint_follows_settings_and_content() -> None:
    note = AggregatesNote(LEDGER, "5", 3, None, RECIPE, "abc")
    others = [
        dataclasses.replace(note, recipe={**RECIPE, "max_gap": "600"}),
        dataclasses.replace(note, digest="abd"),
        AggregatesNote(LEDGER, "5", 3, None),
        AggregatesNote(LEDGER, "5", 4, None),
        AggregatesNote(LEDGER, "7", 3, None),
        AggregatesNote(LEDGER, "5", 3, 7.5),
        AggregatesNote(dataclasses.replace(LEDGER, attributed_cpu_seconds=1.0), "5", 3, None),
    ]
    assert len({note.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1
    later = dataclasses.replace(LEDGER, odd_ages=1)
    assert AggregatesNote(later, "5", 3, None).fingerprint == others[2].fingerprint, (
        "a number that a later version adds to the ledger is no other content"
    )


def test_keys_of_later_versions_are_ignored() -> None:
    text = json.dumps({**json.loads(AGGREGATES_TEXT), "added_later": [1]})
    assert load_note(text.encode(), AggregatesNote)[1].ledger == LEDGER


def test_the_buckets_of_a_note_are_those_of_its_day() -> None:
    window = Window.of_day(DAY)
    note = AggregatesNote(LEDGER, window.encode([window.start, window.end - 300]), 3, None)
    assert note.bucket_starts(window) == [window.start, window.end - 300]


def test_aggregates_know_the_rows_that_they_were_made_from() -> None:
    note = AggregatesNote(LEDGER, "5", 3, 7.5)
    assert note.is_made_from(3, RawNote(7.5))
    assert not note.is_made_from(4, RawNote(7.5))
    assert not note.is_made_from(3, RawNote(8.5))


def write_with_note(lake: Lake, dataset: Dataset, text: str | None) -> str:
    """A file whose note is this text."""
    path = Path(lake.path(dataset, DAY, "alice"))
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(pd.DataFrame({"x": [1]}), preserve_index=False)
    metadata = {} if text is None else {b"snapshot_assets": text.encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    return str(path)


WHOLE: dict[str, Any] = json.loads(AGGREGATES_TEXT)


@pytest.mark.parametrize(
    ("dataset", "text", "problem"),
    [
        (RAW_ROWS, None, "snapshot_assets"),
        (RAW_ROWS, "no json", "Expecting value"),
        (RAW_ROWS, "[1]", "its note is list, not an object"),
        (RAW_ROWS, '{"newest_epoch": 1.5}', "its note has no 'host'"),
        (RAW_ROWS, '{"host": "alice"}', "its note has no 'newest_epoch'"),
        (RAW_ROWS, '{"host": "alice", "newest_epoch": "now"}', "'newest_epoch' of its note is str"),
        (AGGREGATES, '{"host": "alice", "newest_epoch": 1.5}', "its note has no 'buckets'"),
        (AGGREGATES, json.dumps({**WHOLE, "buckets": "xyz"}), "'buckets' of its note is 'xyz'"),
        (AGGREGATES, json.dumps({**WHOLE, "raw_rows": "3"}), "'raw_rows' of its note is str"),
        (AGGREGATES, json.dumps({**WHOLE, "ledger": {"what": 1}}), "'ledger' of its note: "),
        (AGGREGATES, json.dumps({**WHOLE, "recipe": "x"}), "'recipe' of its note is str"),
        (AGGREGATES, json.dumps({**WHOLE, "recipe": {"slack": 3}}), "'slack' in 'recipe'"),
        (AGGREGATES, json.dumps({**WHOLE, "digest": None}), "'digest' of its note is NoneType"),
    ],
)
def test_an_error_names_the_file_the_problem_and_the_fix(
    tmp_path: Path, dataset: Dataset, text: str | None, problem: str
) -> None:
    lake = Lake(str(tmp_path))
    path = write_with_note(lake, dataset, text)
    damaged: list[LakeError] = []
    assert list(lake.entries(dataset, DAY, damaged.append)) == []
    with pytest.raises(LakeError) as read:
        lake.read(dataset, DAY, "alice")
    with pytest.raises(LakeError) as looked_up:
        lake.entry(dataset, DAY, "alice")
    for error in (read.value, looked_up.value, *damaged):
        assert path in str(error)
        assert problem in str(error)
        assert "materialize" in str(error)
    assert len(damaged) == 1
