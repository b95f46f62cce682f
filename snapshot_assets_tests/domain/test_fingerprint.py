"""Fingerprints: equal for what is equal, different for what makes other numbers."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from snapshot_assets.domain import fingerprint as module
from snapshot_assets.domain.fingerprint import (
    accounting_recipe,
    aggregates_digest,
    differences,
    document_recipe,
    fingerprint,
    number_text,
    parts_of_record,
    recipe_digest,
    recipe_half,
    record,
)
from snapshot_assets.domain.rules import AccountingRules, DocumentRules

RULES = AccountingRules()


def recipe(**changes: Any) -> dict[str, str]:
    return accounting_recipe(dataclasses.replace(RULES, **changes), "alice")


def test_a_number_has_one_text_however_it_is_given() -> None:
    for same in ((900, 900.0, np.float64(900)), (0, -0.0, 0.0), (0.1, np.float64(0.1)), (1e22,)):
        assert len({number_text(value) for value in same}) == 1
    assert [number_text(value) for value in (900, 0.05, 1e22)] == ["900", "0.05", "1e+22"]


def test_equal_rules_have_equal_recipes_however_they_are_written() -> None:
    assert recipe(excluded_users=("b", "a", "b")) == recipe(excluded_users=("a", "b"))
    assert recipe(max_gap_seconds=900.0) == recipe(max_gap_seconds=900)
    assert recipe(capacity_cores={"alice": 4.0, "bob": 8}) == recipe(capacity_cores={"alice": 4})
    assert recipe(capacity_cores={"bob": 8}) == recipe(), "another host's capacity"


def test_every_rule_of_the_accounting_is_in_the_recipe() -> None:
    """A rule that is added and not in the recipe would change numbers in silence."""
    changed = {
        "max_gap_seconds": 600,
        "slack_seconds": 20,
        "excluded_users": ("root",),
        "drop_idle_memory": True,
        "pass_seconds": 0,
        "pass_span_seconds": 60,
        "min_cputimes": 10,
        "capacity_cores": {"alice": 4},
    }
    assert set(changed) == {rule.name for rule in dataclasses.fields(AccountingRules)}
    for rule, value in changed.items():
        assert len(differences(recipe(), recipe(**{rule: value}))) == 1, rule


def test_every_rule_of_the_documents_is_in_the_recipe() -> None:
    for rule in dataclasses.fields(DocumentRules):
        other = document_recipe(dataclasses.replace(DocumentRules(), **{rule.name: 7}))
        assert len(differences(document_recipe(DocumentRules()), other)) == 1, rule.name


def test_names_that_only_look_alike_have_different_texts() -> None:
    texts = [
        module.names_text(names)
        for names in ((), ("",), ("a", "b"), ("a,b",), ("a, b",), ('a", "b',), ("\udcff",), ("é",))
    ]
    assert len(set(texts)) == len(texts)
    for text in texts:
        text.encode()  # every text can be kept in a file
    assert module.names_text(("root", "é")) == '"root", "é"'


def test_differences_are_told_in_plain_words() -> None:
    made = recipe(max_gap_seconds=900, excluded_users=("root",))
    now = recipe(max_gap_seconds=600.5, capacity_cores={"alice": 64})
    assert differences(made, now) == (
        "max_gap 900 -> 600.5",
        'exclude_users "root" -> none',
        "capacity_cores none -> 64",
    )
    assert differences(made, made) == ()
    assert differences({}, now) == ("made by an earlier version",)
    assert differences({**now, "gone": "1"}, now) == ("gone 1 -> unknown",)
    less = {name: text for name, text in now.items() if name != "slack"}
    assert differences(less, now) == ("slack unknown -> 30",)


def test_another_edition_of_the_accounting_is_another_recipe(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = recipe()
    monkeypatch.setattr(module, "EDITION", module.EDITION + 1)
    assert differences(made, recipe()) == (f"edition {made['edition']} -> {recipe()['edition']}",)


def aggregates() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "bucket_start": pd.to_datetime([300, 600], unit="s", utc=True).as_unit("s"),
            "username": pd.Categorical(["ana", None]),
            "cpu_norm": [0.0, 1.5],
            "machine_cores": [np.nan, 4.0],
            "snapshots": [1, 2],
        }
    )


def test_the_digest_of_aggregates_follows_their_values() -> None:
    table = aggregates()
    digest = aggregates_digest(table)
    assert aggregates_digest(table.copy()) == digest
    assert aggregates_digest(table.assign(cpu_norm=[-0.0, 1.5])) == digest, "it is the same zero"
    negative_nan = np.copysign(np.nan, -1)
    assert aggregates_digest(table.assign(machine_cores=[negative_nan, 4.0])) == digest
    other = [
        table.assign(cpu_norm=[0.0, np.nextafter(1.5, 2)]),
        table.assign(machine_cores=[0.0, 4.0]),
        table.assign(snapshots=[2, 1]),
        table.assign(username=pd.Categorical([None, "ana"])),
        table.assign(username=pd.Categorical(["anb", None])),
        table.assign(bucket_start=table["bucket_start"] + pd.Timedelta(seconds=300)),
        table.rename(columns={"snapshots": "snapshot"}),
        table.iloc[:1],
        table.iloc[::-1],
    ]
    assert len({digest, *map(aggregates_digest, other)}) == len(other) + 1


def test_a_record_reads_back() -> None:
    made = fingerprint(recipe(), "abc")
    assert recipe_half(made) == recipe_digest(recipe())
    documents = document_recipe(DocumentRules(0.5, 2))
    text = record(made, documents)
    assert text == f"{made} cpu_threshold=0.5 mem_threshold=2"
    assert parts_of_record(text) == (made, documents)
    assert parts_of_record("") == ("", {})
    assert fingerprint({}, "abc") == "unknown.abc"


def test_fingerprints_are_those_that_are_kept_already() -> None:
    """If this fails, every settled day of every installation counts as changed."""
    assert recipe_digest(recipe()) == "e8f03bc0ebac"
    assert aggregates_digest(aggregates()) == "82261846e9c0"
    program = (
        "from snapshot_assets.domain.fingerprint import *\n"
        "from snapshot_assets.domain.rules import AccountingRules\n"
        "print(recipe_digest(accounting_recipe(AccountingRules(), 'alice')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == recipe_digest(recipe()), "the same in another process"
