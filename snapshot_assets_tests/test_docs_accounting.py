"""The page of the accounting: its examples are accounted, and its pictures show what it says.

An example is a table of rows (with a column ``becomes``), and the tables after it that say what is
published and what the ledger has. What a column of the examples means is said on the page.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.ledger import RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.schemas import (
    FiveMinuteAggregates,
    MachineRows,
    RawProcessRows,
    validate,
)
from snapshot_assets_tests.support.domain.process_rows import GB, HOUR, at
from snapshot_assets_tests.support.domain.slow_accounting import slow_account
from snapshot_assets_tests.support.markdown import ROOT, Table, code_words, prose, tables

DOCS = ROOT / "docs"
ACCOUNTING = DOCS / "accounting.md"
PICTURES = sorted(DOCS.glob("*.svg"))
# What a column of rows has where an example leaves it out, and its name in the schema.
LEFT_OUT = {"pid": "7", "user": "ana", "command": "python", "rss GB": "1", "etimes": "NULL"}
OWNER_COLUMNS = {"cores": "cpu_norm", "GB": "rss_gb", "covered": "covered_seconds"}
MACHINE_COLUMNS = {"machine cores": "machine_cpu_norm", "machine GB": "machine_used_gb"}
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Example:
    """An example of the page: rows, settings, the kernel's count, and what becomes of them."""

    heading: str
    rows: Table
    rules: AccountingRules
    machines: Table | None = None
    published: list[Table] = field(default_factory=list)
    ledger: list[Table] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.heading}, {self.rows.rows[-1]['becomes']}"


def examples() -> list[Example]:
    """The examples, in the order of the page."""
    found: list[Example] = []
    machines = None
    for table in tables(ACCOUNTING):
        match table.header:
            case ("time", *_) if "becomes" in table.header:
                rules = settings(table.before)
                found.append(Example(table.heading, table, rules, machines))
                machines = None
            case ("time", *_):
                machines = table
            case ("bucket", *_):
                found[-1].published.append(table)
            case ("ledger", *_):
                found[-1].ledger.append(table)
            case _:
                assert not {"becomes", "bucket", "cputimes"} & set(table.header), table.header
    return found


def settings(text: str) -> AccountingRules:
    """The rules with the settings that the text in front of an example names, ``NAME=value``."""
    values = dict(word.split("=") for word in code_words(text) if re.match(r"SNAPSHOT_\w+=", word))
    hidden = float(values.pop("SNAPSHOT_MIN_CPUTIMES", 0))
    excluded = filter(None, values.pop("SNAPSHOT_EXCLUDE_USERS", "").split(","))
    assert not values, "the tests do not know this setting"
    return AccountingRules(min_cputimes=hidden, excluded_users=tuple(excluded))


def number(cell: str) -> float:
    return math.nan if cell == "NULL" else float(cell.replace("\N{MINUS SIGN}", "-"))


def column(table: Table, name: str) -> np.ndarray:
    return np.array([number({**LEFT_OUT, **row}[name]) for row in table.rows], dtype=np.float64)


def texts(table: Table, name: str) -> pd.Categorical:
    cells = [{**LEFT_OUT, **row}[name] for row in table.rows]
    return pd.Categorical([None if cell == "NULL" else cell for cell in cells])


def times(table: Table) -> np.ndarray:
    return np.array([at(row["time"]) for row in table.rows], dtype=np.float64)


def process_rows(table: Table) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "host": pd.Categorical(["alice"] * len(table.rows)),
            "snapshot_time_epoch": times(table),
            "pid": column(table, "pid"),
            "username": texts(table, "user"),
            "comm": texts(table, "command"),
            "cputimes": column(table, "cputimes"),
            "rss": column(table, "rss GB") * GB,
            "etimes": column(table, "etimes"),
        }
    )
    return validate(RawProcessRows, rows, "an example")


def machine_rows(table: Table) -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "host": pd.Categorical(["alice"] * len(table.rows)),
            "snapshot_time_epoch": times(table),
            "cores": column(table, "cores"),
            "cpu_seconds": column(table, "cpu_seconds"),
            "memory_bytes": column(table, "memory GB") * GB,
            "memory_used_bytes": column(table, "used GB") * GB,
            "boot_epoch": np.zeros(len(table.rows)),
        }
    )
    return validate(MachineRows, rows, "an example")


def printed(cell: str, value: float) -> bool:
    """Whether a cell shows this value, rounded to as many decimals as it has."""
    decimals = len(cell.partition(".")[2])
    return abs(number(cell) - value) <= 0.5 * 10.0**-decimals + 1e-9 * abs(value)


@pytest.mark.parametrize("example", examples(), ids=str)
def test_an_example_is_what_the_accounting_makes_of_it(example: Example) -> None:
    """The class of each row, the CPU of each class, every published number, and the ledger."""
    rows = process_rows(example.rows)
    machines = None if example.machines is None else machine_rows(example.machines)
    result = account(rows, HOUR, example.rules, machines)
    aggregates = validate(FiveMinuteAggregates, result.aggregates, "an example")
    ledger = result.ledger
    assert not ledger.imbalances(len(rows), aggregates)

    # The code counts classes; the slow accounting names the class of each row.
    becomes = [re.fullmatch(r"([a-z ]+?)(?: ([\d.]+))?", r["becomes"]) for r in example.rows.rows]
    classes = [found[1].replace(" ", "_") for found in becomes if found]
    assert classes == slow_account(rows, HOUR, example.rules, machines).classes
    assert ledger.rows == {**dict.fromkeys(ledger.rows, 0), **Counter(classes)}
    cpu = dict.fromkeys(("attributed", "gap", "implausible", "excluded"), 0.0)
    for found, row_class in zip(becomes, classes, strict=True):
        if found and found[2]:
            cpu[row_class] += float(found[2])
    assert cpu == pytest.approx({name: getattr(ledger, f"{name}_cpu_seconds") for name in cpu})

    shown = [row for table in example.published for row in table.rows]
    names = ["bucket_start", "username", "comm"]
    keys = aggregates[names].assign(bucket_start=aggregates["bucket_start"].dt.strftime("%H:%M"))
    keys = keys.astype(object).where(keys.notna(), "")
    assert [[row["bucket"], row["user"], row["command"]] for row in shown] == keys.values.tolist()
    for row, entry in zip(shown, aggregates.to_dict("records"), strict=True):
        for header, name in {**OWNER_COLUMNS, **MACHINE_COLUMNS}.items():
            if header in row or header in OWNER_COLUMNS:
                assert printed(row[header], entry[name]), f"{header} is {entry[name]}, not {row}"

    for row in [row for table in example.ledger for row in table.rows]:
        name, _, label = row["ledger"].partition(".")
        value = getattr(ledger, name)
        assert printed(row["value"], value[label] if label else value), f"{row}: {value}"
        assert row["because"]


def test_the_examples_show_every_class_and_every_rule() -> None:
    found = examples()
    shown = {row["becomes"].rstrip("0123456789. ") for e in found for row in e.rows.rows}
    assert shown == {row_class.label.replace("_", " ") for row_class in RowClass}
    assert all(example.published or example.ledger for example in found)
    headings = {example.heading.partition(".")[0] for example in found}
    assert {str(rule) for rule in range(1, 13) if rule != 10} <= headings, "10 is the ledger's"


def test_the_rules_have_the_numbers_that_the_code_cites() -> None:
    """Each rule has a chapter of the code; 9 to 11 are kept by all of them together."""
    numbered = re.findall(r"^### (\d+)\. ", prose(ACCOUNTING), re.MULTILINE)
    assert numbered == [str(rule) for rule in range(1, 13)]
    folder = ROOT / "snapshot_assets" / "domain" / "accounting"
    texts = [chapter.read_text() for chapter in folder.glob("*.py")]
    found = re.findall(r"\brules? (\d+)(?: and (\d+))? of docs/accounting", "".join(texts))
    cited = {number for numbers in found for number in numbers if number}
    assert cited == set(numbered) - {"9", "10", "11"}


def test_the_numbers_of_the_rules_are_the_code_s_defaults() -> None:
    (table,) = [table for table in tables(ACCOUNTING) if table.header[:2] == ("name", "value")]
    rules = AccountingRules()
    values = {
        "MAX_GAP": rules.max_gap_seconds,
        "SLACK": rules.slack_seconds,
        "PASS": rules.pass_seconds,
        "PASS_SPAN": rules.pass_span_seconds,
        "NEAR": rules.near_seconds,
        "θ": rules.min_cputimes,
    }
    assert {row["name"]: float(row["value"].split()[0]) for row in table.rows} == values


# --- pictures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_shows_numbers_of_its_section(picture: Path) -> None:
    """Its numbers and times are those of the example beside it."""
    sections = re.split(r"^#+ ", ACCOUNTING.read_text(), flags=re.MULTILINE)
    (section,) = [text for text in sections if f"]({picture.name})" in text]
    words = set(re.findall(r"[\d:.]*\d", section))
    for element in ElementTree.parse(picture).iter(f"{SVG}text"):
        shown = re.findall(r"[\d:.]*\d", element.text or "")
        missing = [word for word in shown if not {word, f"{word}:00"} & words]
        assert not missing, f"{element.text!r}: the text beside the picture has no {missing}"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_is_for_light_and_dark_and_for_people_who_do_not_see_it(picture: Path) -> None:
    """It has a background of its own, colours for both, a title and a description, and no links."""
    root = ElementTree.parse(picture).getroot()
    first = next(child for child in root if child.tag == f"{SVG}rect")
    assert first.get("class") == "paper"
    for name in ("title", "desc"):
        assert (root.findtext(f"{SVG}{name}") or "").strip()
    style = root.findtext(f"{SVG}style") or ""
    light, found, dark = style.partition("@media (prefers-color-scheme: dark)")
    assert found
    used = {c for e in root.iter() for c in (e.get("class") or "").split()}
    for name in used - {"left"}:
        assert f".{name}" in light
        assert f".{name}" in dark
    assert "http" not in picture.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_there_are_three_pictures() -> None:
    assert [path.stem for path in PICTURES] == ["clock-offset", "coverage", "shared-pid"]
