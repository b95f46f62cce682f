"""A user who may read a view only, or some columns only, reads that, and nothing else is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from snapshot_assets.cli import cli
from snapshot_assets.errors import SourceError
from snapshot_assets.source.query import ProcessSource, SourceTable
from snapshot_assets.source.table import COLUMNS, MACHINE_COLUMNS
from snapshot_assets_tests.support.field_table import MIDNIGHT, execute, load, row
from snapshot_assets_tests.support.servers import MariaDB

READ = ", ".join(COLUMNS)
NEEDED = ", ".join(column for column in COLUMNS if column != "etimes")
ROWS = [row(host, MIDNIGHT, pid, etimes=9) for host in ("a", "b") for pid in (1, 2)]


@contextmanager
def reader(mariadb: MariaDB, *statements: str) -> Iterator[str]:
    """The URL of a user who may do what the grants say; ``{user}`` stands for the user."""
    user = "'reader'@'127.0.0.1'"
    with ProcessSource(mariadb.url()) as owner:
        load(owner, ROWS)
        execute(owner, f"CREATE OR REPLACE USER {user} IDENTIFIED BY 'secret'")
        try:
            for statement in statements:
                execute(owner, statement.format(user=user))
            yield f"mysql://reader:secret@127.0.0.1:{mariadb.port}/monitoring"
        finally:
            execute(owner, f"DROP USER {user}")


VIEW = "CREATE VIEW seen AS SELECT * FROM processes WHERE host = 'a'"
GRANTS = {
    "view": ("seen", [VIEW, "GRANT SELECT ON monitoring.seen TO {user}"]),
    "columns": ("processes", [f"GRANT SELECT ({READ}) ON monitoring.processes TO {{user}}"]),
    "columns of a view": ("seen", [VIEW, f"GRANT SELECT ({READ}) ON monitoring.seen TO {{user}}"]),
    "without etimes": (
        "processes",
        [f"GRANT SELECT ({NEEDED}), INSERT (args) ON monitoring.processes TO {{user}}"],
    ),
}


@pytest.mark.parametrize("grant", list(GRANTS))
@pytest.mark.parametrize("columnar", [True, False])
def test_such_a_user_can_use_every_query(mariadb: MariaDB, grant: str, columnar: bool) -> None:
    table, statements = GRANTS[grant]
    with reader(mariadb, *statements) as url, ProcessSource(url, SourceTable(table)) as source:
        source.columnar = columnar
        hosts = ["a"] if table == "seen" else ["a", "b"]
        assert source.hosts(0, 2e9) == hosts
        assert list(source.tally(0, 2e9)) == hosts
        assert len(source.snapshots(0, 2e9)) == len(hosts)
        assert source.span() == (MIDNIGHT, MIDNIGHT)
        assert source.rows_without_key() == 0
        rows = source.read_sql(0, 2e9, ["a"])
        assert rows["pid"].tolist() == [1, 2]
        assert rows["etimes"].isna().all() == (grant == "without etimes")
        whole = source.count_whole(0, 2e9, 5)
        assert whole is not None
        assert whole.rows == 2 * len(hosts)
        assert len(source.read_machines(0, 2e9)) == 0
        assert source.columnar == columnar


@pytest.mark.parametrize("grant", ["view", "columns"])
def test_the_doctor_serves_such_a_user(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch, grant: str
) -> None:
    table, statements = GRANTS[grant]
    with reader(mariadb, *statements) as url:
        monkeypatch.setenv("SNAPSHOT_SOURCE_URL", url)
        monkeypatch.setenv("SNAPSHOT_SOURCE_TABLE", table)
        monkeypatch.setenv("SNAPSHOT_REDIS_URL", "redis://127.0.0.1:1/0")
        output = CliRunner().invoke(cli, ["doctor"]).output
    assert f"table '{table}' has its columns" in output
    assert re.search(r"rows: \d hosts?, from 2026-11-20T00:00:00", output)
    assert "GRANT" not in output


def test_a_required_column_that_may_not_be_read_is_named(mariadb: MariaDB) -> None:
    columns = NEEDED.replace(", rss", "")
    statement = f"GRANT SELECT ({columns}) ON monitoring.processes TO {{user}}"
    with (
        reader(mariadb, statement) as url,
        ProcessSource(url) as source,
        pytest.raises(SourceError, match=r"no column 'rss' .*GRANT SELECT") as caught,
    ):
        source.hosts(0, 2e9)
    assert "args" not in str(caught.value)
    assert "cputimes" in str(caught.value)


def test_a_user_without_any_right_on_the_table_is_told_so(mariadb: MariaDB) -> None:
    with (
        reader(mariadb, "CREATE TABLE other (x INT)", "GRANT SELECT ON other TO {user}") as url,
        ProcessSource(url) as source,
        pytest.raises(SourceError, match=r"'processes' .*GRANT SELECT"),
    ):
        source.hosts(0, 2e9)


def test_machines_that_may_not_be_read_are_not_missed(mariadb: MariaDB) -> None:
    """Only a table that the settings name is missed."""
    _, statements = GRANTS["columns"]
    with reader(mariadb, *statements) as url:
        with ProcessSource(mariadb.url()) as owner:
            columns = " INT, ".join(MACHINE_COLUMNS)
            execute(owner, f"CREATE TABLE machines ({columns} INT)")
        with ProcessSource(url) as source:
            assert len(source.read_machines(0, 2e9)) == 0
        with (
            ProcessSource(url, SourceTable(machines="machines")) as source,
            pytest.raises(SourceError, match="SNAPSHOT_MACHINES_TABLE"),
        ):
            source.read_machines(0, 2e9)


def test_a_view_whose_table_is_gone_is_named_and_no_outage(mariadb: MariaDB) -> None:
    """Its error would otherwise be taken for an outage and be tried again."""
    _, statements = GRANTS["view"]
    with reader(mariadb, *statements) as url:
        with ProcessSource(mariadb.url()) as owner:
            execute(owner, "RENAME TABLE processes TO moved")
        with ProcessSource(url, SourceTable("seen")) as source:
            with pytest.raises(SourceError, match="repair the view") as caught:
                source.hosts(0, 2e9)
            assert type(caught.value) is SourceError


def test_only_needed_columns_are_asked(mariadb: MariaDB) -> None:
    """The table also has ``args``, which hold secrets."""
    with ProcessSource(mariadb.url()) as source:
        load(source, ROWS)
        execute(source, "SET GLOBAL general_log = 1, log_output = 'TABLE'")
        try:
            source.read_sql(0, 2e9)
            source.hosts(0, 2e9)
            with source.connect() as connection:
                asked = connection.exec_driver_sql("SELECT argument FROM mysql.general_log").all()
        finally:
            execute(source, "SET GLOBAL general_log = 0, log_output = 'FILE'")
            execute(source, "TRUNCATE mysql.general_log")
    statements = [str(argument) for (argument,) in asked if "processes" in str(argument)]
    assert statements
    assert not any(
        "args" in statement or "*" in statement.replace("count(*)", "") for statement in statements
    )
