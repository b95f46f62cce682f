"""Capacities: read, read again, and wrong in every way."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.dashboard.capacity import Capacities
from snapshot_assets.domain.capacity import Capacity, parse


class Time:
    """Seconds that move only when a test sets them."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_is_read_and_read_again_when_it_changes(tmp_path: Path) -> None:
    file, time = tmp_path / "capacity.csv", Time()
    file.write_text('host,cores,memory_gb\nalice,64,512\n"b,ob",8,\n\nZoë,,16.5\n')
    found = Capacities(file, time)
    assert found.get("alice") == Capacity(64, 512)
    assert found.get("b,ob") == Capacity(8, None)
    assert found.get("Zoë") == Capacity(None, 16.5)
    assert found.get("nobody") == Capacity(None, None)
    file.write_text("memory_gb,cores,host\n1024,128,alice\n")
    assert found.get("alice") == Capacity(64, 512), "looked at a moment ago"
    time.now += 2
    assert found.get("alice") == Capacity(128, 1024)
    assert found.problem is None


def test_nothing_is_known_without_a_file() -> None:
    assert Capacities(None).get("alice") == Capacity()
    assert Capacities(None).problem is None


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("", "line 1: write the columns' names"),
        ("alice,64,512\n", "line 1: write the columns' names"),
        ("host,cores,memory_gb\nalice,64\n", "line 2: 2 cells instead of 3"),
        ("host,cores,memory_gb\nalice,many,512\n", "line 2: cores is 'many'; write a number"),
        ("host,cores,memory_gb\nalice,64,-1\n", "line 2: memory_gb is '-1'"),
        ("host,cores,memory_gb\nalice,nan,1\n", "line 2: cores is 'nan'"),
        ("host,cores,memory_gb\nalice,inf,1\n", "line 2: cores is 'inf'"),
        ("host,cores,memory_gb\na,1,1\n\na,1,1\n", "line 4: the host 'a' is there twice"),
    ],
)
def test_a_wrong_file_is_reported_and_the_last_good_one_stays(
    tmp_path: Path, text: str, reported: str
) -> None:
    file, time = tmp_path / "capacity.csv", Time()
    file.write_text("host,cores,memory_gb\nalice,64,512\n")
    found = Capacities(file, time)
    assert found.problem is None
    file.write_text(text)
    time.now += 2
    problem = found.problem or ""
    assert problem.startswith("capacity.csv, ")
    assert reported in problem
    assert found.get("alice") == Capacity(64, 512)
    file.write_text("host,cores,memory_gb\nalice,65,512\n")
    time.now += 2
    assert (found.get("alice").cores, found.problem) == (65, None)


def test_a_missing_file_is_reported_until_it_is_there(tmp_path: Path) -> None:
    file, time = tmp_path / "capacity.csv", Time()
    found = Capacities(file, time)
    missing = (
        "capacity.csv cannot be read: No such file or directory; make it, or remove the setting"
    )
    assert found.problem == missing
    file.write_bytes(b"host,cores,memory_gb\n\xff,1,1\n")
    time.now += 2
    assert found.problem == "capacity.csv cannot be read: it is not UTF-8; save it as UTF-8"
    file.write_text("host,cores,memory_gb\n")
    time.now += 2
    assert found.problem is None


@given(st.text(max_size=200))
def test_any_text_is_read_or_reported(text: str) -> None:
    for whole in (text, f"host,cores,memory_gb\n{text}"):
        reported = "capacity.csv, line 1"
        try:
            parse(whole, "capacity.csv")
        except ValueError as error:
            reported = str(error)
        assert reported.startswith("capacity.csv, line ")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them_and_a_quoted_name_may_hold_anything(end: str) -> None:
    lines = ["host,cores,memory_gb", '"a\x0b\u2028b",1,2', '"c,""d",,', ""]
    assert parse(end.join(lines), "c") == {"a\x0b\u2028b": Capacity(1, 2), 'c,"d': Capacity()}
