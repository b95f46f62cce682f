"""Links: what they say, and what becomes of those that say nonsense."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.dashboard.time.ranges import QUICK, TimeRange
from snapshot_assets.dashboard.view import PATHS, Page, View, read_link

NAMES = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=40)
STARTS = st.integers(0, 9_000_000).map(lambda n: n * 300)


@st.composite
def views(draw: st.DrawFn) -> View:
    start = draw(STARTS)
    custom = draw(
        st.none() | st.integers(1, 300_000).map(lambda n: TimeRange(start, start + n * 300))
    )
    return View(
        page=draw(st.sampled_from(list(PATHS))),
        quick="24h" if custom else draw(st.sampled_from(list(QUICK))),
        custom=custom,
        zone=draw(st.none() | st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"])),
        measure=draw(st.sampled_from(["cpu", "mem"])),
        hosts=tuple(draw(st.lists(NAMES, max_size=4, unique=True))),
        user=draw(st.none() | NAMES),
        command=draw(st.none() | NAMES),
        month=draw(st.none() | st.sampled_from(["2026-01", "2026-12"])),
    )


@given(views(), st.sampled_from(["/", "/who/", "/a/b/"]))
def test_a_link_reproduces_its_view(view: View, prefix: str) -> None:
    path, _, search = view.link(prefix).partition("?")
    found = read_link(path, f"?{search}" if search else "", prefix)
    assert found.view == view
    assert found.notes == ()


@given(st.text(max_size=60), st.text(max_size=200))
def test_no_link_is_an_error(pathname: str, search: str) -> None:
    found = read_link(pathname, search, "/who/")
    assert found.view.page in get_args(get_args(Page)[0]) or found.view.page in PATHS
    assert found.view.range(1_790_000_000).seconds > 0


@pytest.mark.parametrize(
    ("search", "reported"),
    [
        ("?range=25h", "range=25h is not used: write one of 1h"),
        ("?from=yesterday&to=2026-11-20T10:00Z", "from=yesterday is not used"),
        ("?from=2026-11-20T10:00Z", "needs both from and to"),
        ("?from=2026-11-20T10:00Z&to=2026-11-19T10:00Z", "ends before it starts"),
        ("?from=1990-01-01&to=2026-11-19", "longer than ten years"),
        ("?from=9999-12-31&to=9999-12-31T23:00", "too far away"),
        ("?tz=Mars/Olympus", "tz=Mars/Olympus is not used"),
        ("?tz=../../etc/passwd", "is not used"),
        ("?measure=gpu", "write cpu or mem"),
        ("?month=2026-13", "month=2026-13 is not used"),
        ("?month=" + "x" * 500, "is not used"),
        ("?" + "&".join(f"a{i}=1" for i in range(300)), "too many parameters"),
        ("?" + "&".join(f"host=h{i}" for i in range(60)), "names 60 hosts; the first 50"),
    ],
)
def test_an_error_in_a_link_is_reported_and_left_out(search: str, reported: str) -> None:
    found = read_link("/users", search)
    assert reported in found.notes[0]
    assert len(found.notes) == 1 + search.startswith("?from=9999"), "each of both"
    assert all(len(note) < 400 for note in found.notes)
    assert found.view.page == "users"


def test_an_unknown_page_is_the_overview_and_says_so() -> None:
    found = read_link("/who/admin", "", "/who/")
    assert found.view.page == "overview"
    assert "no page /who/admin" in found.notes[0]
    for path in ("/who", "/who/", "/who/users/"):
        assert read_link(path, "", "/who/").notes == ()


def test_times_in_links_mean_the_same_everywhere() -> None:
    def range_of(search: str) -> Any:
        return read_link("/", search).view.custom

    utc = range_of("?from=2026-11-20T10:00Z&to=2026-11-20T12:00Z")
    assert range_of("?from=2026-11-20T10:00&to=2026-11-20T12:00") == utc
    assert range_of("?from=2026-11-20T11:00%2B01:00&to=2026-11-20T13:00%2B01:00") == utc
    assert utc.seconds == 7200


def test_a_quick_range_ends_with_the_bucket_of_now() -> None:
    found = View(quick="1h").range(1_790_000_123.4)
    assert (found.end - 300) // 300 == 1_790_000_123 // 300
    assert found.seconds == 3600
