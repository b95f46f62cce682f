"""Colours: everybody can distinguish them, and names keep theirs."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snapshot_assets.dashboard
from snapshot_assets.dashboard.colours import (
    CPU_COLOUR,
    MEMORY_COLOUR,
    OTHER_COLOUR,
    PALETTE,
    PATTERNS,
    colour_of,
    contrast,
    looks,
)
from snapshot_assets.domain.frames import OTHER

LIGHT_BACKGROUND, DARK_BACKGROUND = "#ffffff", "#12161c"

# Machado, Oliveira and Fernandes (2009), severity 1; linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colour: str, sight: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as it is seen."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(SIGHT[sight]) @ linear, 0, 1)
    matrix = [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
    xyz = np.asarray(matrix) @ seen / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * 841 / 108 + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_hues_can_be_distinguished(sight: str) -> None:
    for one, other in itertools.combinations(PALETTE, 2):
        assert np.linalg.norm(lab(one, sight) - lab(other, sight)) > 15, (one, other)
    assert np.linalg.norm(lab(CPU_COLOUR, sight) - lab(MEMORY_COLOUR, sight)) > 15


def test_hues_stand_out_on_both_backgrounds() -> None:
    for colour in (*PALETTE, OTHER_COLOUR, CPU_COLOUR, MEMORY_COLOUR):
        for background in (LIGHT_BACKGROUND, DARK_BACKGROUND):
            assert contrast(colour, background) >= 3, colour


def test_contrast_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1


@given(st.sets(st.text(max_size=12), max_size=30), st.sets(st.text(max_size=12), max_size=30))
def test_a_name_keeps_its_hue_in_whatever_company(some: set[str], others: set[str]) -> None:
    one, two = looks(some), looks(some | others)
    for name in some:
        assert one[name].colour == two[name].colour == colour_of(name)


@given(st.sets(st.text(min_size=1, max_size=12), max_size=len(PATTERNS)))
def test_no_two_names_of_a_chart_look_alike(names: set[str]) -> None:
    found = looks([*names, OTHER])
    assert len(set(found.values())) == len(found)
    assert found[OTHER].colour == OTHER_COLOUR


def test_hues_are_the_same_in_another_process() -> None:
    names = ["ana", "ben", "Zoë 😀"]
    program = (
        f"from snapshot_assets.dashboard.colours import colour_of\n"
        f"print([colour_of(n) for n in {names!r}])"
    )
    reported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert reported.strip() == str([colour_of(name) for name in names])


def test_the_style_sheet_has_the_same_colours() -> None:
    folder = Path(snapshot_assets.dashboard.__file__).parent
    style = (folder / "assets" / "dashboard.css").read_text()
    assert f"--cpu: {CPU_COLOUR}; --mem: {MEMORY_COLOUR};" in style
    assert f"--paper: {LIGHT_BACKGROUND};" in style
    assert f"--paper: {DARK_BACKGROUND};" in style
