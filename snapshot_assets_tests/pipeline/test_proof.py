"""The proof counts the same as the accounting, on another path, or says that it is inconclusive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from snapshot_assets.domain.accounting import account
from snapshot_assets.domain.documents import documents
from snapshot_assets.domain.rules import AccountingRules, DocumentRules
from snapshot_assets.domain.time import Window
from snapshot_assets.domain.usage import usage_from_aggregates
from snapshot_assets.pipeline.proof.prove import prove, source_cpu_seconds
from snapshot_assets.source.query import ProcessSource, SourceTable, Tally
from snapshot_assets.store.reading.reader import Document
from snapshot_assets_tests.support.domain.process_rows import Scenario, scenarios
from snapshot_assets_tests.support.field_table import DAY, MIDNIGHT, busy_host, execute, load, row
from snapshot_assets_tests.support.servers import MariaDB

RULES = AccountingRules()
DAY_WINDOW = Window.of_day(DAY)


def process_table(source: ProcessSource) -> None:
    execute(source, "DROP TABLE IF EXISTS processes")
    execute(
        source,
        "CREATE TABLE processes (host VARCHAR(50), snapshot_time_epoch DOUBLE, pid BIGINT, "
        "username VARCHAR(50), comm VARCHAR(50), cputimes DOUBLE, rss BIGINT, etimes DOUBLE)",
    )


def put(source: ProcessSource, rows: pd.DataFrame) -> None:
    values = rows.astype(object).where(rows.notna(), None).to_dict("records")
    with source.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM processes"))
        if values:
            names = ", ".join(rows.columns)
            places = ", ".join(f":{name}" for name in rows.columns)
            connection.execute(
                sa.text(f"INSERT INTO processes ({names}) VALUES ({places})"),
                [{str(k): v for k, v in value.items()} for value in values],
            )


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessSource]:
    path = tmp_path_factory.mktemp("proof") / "processes.db"
    path.touch()
    with ProcessSource(f"sqlite:///{path}") as source:
        process_table(source)
        yield source


def agree(source: ProcessSource, scenario: Scenario) -> None:
    put(source, scenario.rows)
    for host in scenario.rows["host"].cat.categories:
        rows = scenario.rows[scenario.rows["host"] == host]
        for window in (scenario.window, scenario.whole):
            expected = account(rows, window, scenario.rules).ledger.attributed_cpu_seconds
            found = source_cpu_seconds(source, host, window, scenario.rules)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), (host, window)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_sqlite_counts_what_the_accounting_counts(
    embedded: ProcessSource, scenario: Scenario
) -> None:
    agree(embedded, scenario)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenario=scenarios())
def test_mariadb_counts_what_the_accounting_counts(
    mariadb_server: MariaDB, scenario: Scenario
) -> None:
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS proof CHARACTER SET utf8mb4")
    with ProcessSource(mariadb_server.url("proof")) as source:
        process_table(source)
        agree(source, scenario)


def in_redis(source: ProcessSource, host: str, window: Window = DAY_WINDOW) -> dict[int, Document]:
    """The documents that the settled path would have written."""
    rows = source.read_sql(*RULES.read_range(window), [host])
    aggregates = account(rows, window, RULES).aggregates
    frame = documents(usage_from_aggregates(aggregates, DocumentRules(), "settled"))
    return {
        int(bucket): orjson.loads(body)
        for bucket, body in zip(frame["bucket_start"], frame["body"], strict=True)
    }


@pytest.fixture(params=["mariadb", "sqlite"])
def field(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ProcessSource]:
    """Two hosts in a table as sites have them: integers, KiB, a case-insensitive collation."""
    if request.param == "mariadb":
        url = request.getfixturevalue("mariadb").url()
    else:
        (tmp_path / "field.db").touch()
        url = f"sqlite:///{tmp_path / 'field.db'}"
    with ProcessSource(url, SourceTable(rss_unit="KiB")) as source:
        rows = [r for host in ("web", "WEB") for r in busy_host(host, end=MIDNIGHT + 7200)]
        load(source, rows)
        yield source


def test_three_verdicts(field: ProcessSource) -> None:
    right = in_redis(field, "web")
    start, end = RULES.read_range(DAY_WINDOW)
    rows = field.tally(start, end)["web"].rows

    proof = prove(field, "web", DAY_WINDOW, right, RULES, rows)
    assert proof.verdict == "match"
    # 2 cores of pid 7 for 2 h, less the time after the last snapshot, and the short processes.
    assert proof.source_cpu_seconds == pytest.approx(proof.redis_cpu_seconds, abs=0.1)
    assert proof.source_cpu_seconds > 2 * 6900

    wrong = {bucket: document for bucket, document in right.items() if bucket != MIDNIGHT + 300}
    proof = prove(field, "web", DAY_WINDOW, wrong, RULES, rows)
    assert proof.verdict == "mismatch"
    lost = right[MIDNIGHT + 300]["cpu"]["command"]["cpu_norm"] * 300
    assert proof.source_cpu_seconds - proof.redis_cpu_seconds == pytest.approx(lost, abs=0.1)

    load(field, [row("web", MIDNIGHT + 7500, 7, cputimes=30_000, etimes=200_000)], create=None)
    proof = prove(field, "web", DAY_WINDOW, right, RULES, rows)
    assert proof.verdict == "inconclusive"
    assert f"{rows + 1:,} rows now" in proof.why


def test_a_day_cut_by_the_retention_and_purged_is_inconclusive(field: ProcessSource) -> None:
    right = in_redis(field, "web")
    rows = field.tally(*RULES.read_range(DAY_WINDOW))["web"].rows
    cut = Window(MIDNIGHT + 3600, DAY_WINDOW.end)
    kept = {bucket: document for bucket, document in right.items() if bucket >= cut.start}
    assert prove(field, "web", cut, kept, RULES, rows, DAY_WINDOW).verdict == "match"
    execute(field, "DELETE FROM processes WHERE snapshot_time_epoch < :t", t=MIDNIGHT + 5400)
    proof = prove(field, "web", cut, kept, RULES, rows, DAY_WINDOW)
    assert proof.verdict == "inconclusive"


def test_rows_that_arrive_while_counting_make_it_inconclusive(
    field: ProcessSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = in_redis(field, "web")
    tally = field.tally
    counted: list[object] = []

    def counting(*arguments: Any, **options: Any) -> dict[str, Tally]:
        found = tally(*arguments, **options)
        if not counted:
            load(field, [row("web", MIDNIGHT + 7500, 7, cputimes=30_000)], create=None)
        counted.append(found)
        return found

    monkeypatch.setattr(field, "tally", counting)
    proof = prove(field, "web", DAY_WINDOW, right, RULES, None)
    assert proof.verdict == "inconclusive"
    assert "during the proof" in proof.why


def test_excluded_accounts_are_in_neither_sum(field: ProcessSource) -> None:
    without = AccountingRules(excluded_users=("a*",))
    every = source_cpu_seconds(field, "web", DAY_WINDOW, RULES)
    some = source_cpu_seconds(field, "web", DAY_WINDOW, without)
    assert 0 < some < every - 2 * 6900
    rows = field.read_sql(*RULES.read_range(DAY_WINDOW), ["web"])
    ledger = account(rows, DAY_WINDOW, without).ledger
    assert some == pytest.approx(ledger.attributed_cpu_seconds, rel=1e-9)
