"""Zones to choose from, and messages about names that are not zones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.dashboard.time.zones import zone_named, zone_names


def test_every_zone_to_pick_from_is_a_zone() -> None:
    names = zone_names()
    assert names == sorted(set(names))
    assert {"Europe/Berlin", "America/Argentina/Ushuaia", "UTC"} <= set(names)
    assert not {"EST5EDT", "Etc/GMT+1", "US/Pacific", "localtime", "Factory"} & set(names)
    assert [zone_named(name).key for name in names] == names


@pytest.mark.parametrize(
    "name",
    [
        "",
        "\x00",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../../etc/passwd",
        "Europe",
        "Europe/",
        "Europe/Berlin/",
        "Europe/../Europe/Berlin",
        "Europe/Berlin\x00",
        "\ud800",
        "localtime",
        "a" * 1_000_000,
    ],
)
def test_a_name_that_is_not_a_zone_is_reported_in_a_short_message(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone; ") as reported:
        zone_named(name)
    assert len(str(reported.value)) < 300
    assert "\x00" not in str(reported.value)


@given(name=st.text(max_size=80))
def test_no_text_is_an_error_of_another_type(name: str) -> None:
    try:
        assert zone_named(name).key == name
    except ValueError as error:
        assert "is not a time zone" in str(error)  # noqa: PT017 - most texts, not all, raise


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("utc", "UTC"),
    ],
)
def test_a_zone_that_is_written_alike_is_named(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"did you mean {meant}"):
        zone_named(typed)
