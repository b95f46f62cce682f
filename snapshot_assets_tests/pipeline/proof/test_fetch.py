"""The proof reads the table by itself: every row, as it is, whatever the settling's query finds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from snapshot_assets.errors import SourceError, SourceOutageError
from snapshot_assets.pipeline.proof.fetch import SecondSource
from snapshot_assets.source.table import SourceTable
from snapshot_assets_tests.support.field_table import MIDNIGHT, row
from snapshot_assets_tests.support.servers import MariaDB

COLUMNS = ("host", "snapshot_time_epoch", "pid", "username", "comm", "cputimes", "rss", "etimes")
PLAIN = (
    "host VARCHAR(50), snapshot_time_epoch DOUBLE, pid BIGINT, username VARCHAR(50), "
    "comm VARCHAR(50), cputimes DECIMAL(18,6), rss BIGINT, etimes INT, snapshot_datetime DATETIME"
)


class Table:
    """A table on one of the databases, and ways to read it again."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url.replace("mysql://", "mysql+pymysql://"))
        self.url = sa.make_url(url)

    def run(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def put(self, **values: Any) -> None:
        plain = row("h", MIDNIGHT, 7, cputimes=1, rss=1, etimes=1)
        given = {name: plain[name] for name in COLUMNS} | values
        names = ", ".join(given)
        self.run(f"INSERT INTO processes ({names}) VALUES (:{', :'.join(given)})", **given)

    def again(self, **table: Any) -> SecondSource:
        return SecondSource(self.url, SourceTable(**table))


@pytest.fixture(params=["mariadb", "sqlite"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Table]:
    if request.param == "mariadb":
        made = Table(request.getfixturevalue("mariadb").url())
    else:
        (tmp_path / "processes.db").touch()
        made = Table(f"sqlite:///{tmp_path / 'processes.db'}")
    made.run(f"CREATE TABLE processes ({PLAIN})")
    yield made
    made.engine.dispose()


def test_values_come_as_they_are_and_nulls_as_nulls(table: Table) -> None:
    table.put(pid=-3, username=None, cputimes=12.345678, rss=-5, etimes=None)
    table.put(pid=None, comm="größe 😀", cputimes=None, rss=2, snapshot_time_epoch=MIDNIGHT + 0.05)
    with table.again(rss_unit="KiB") as second:
        found = second.rows(["h"], MIDNIGHT, MIDNIGHT + 1).sort_by("snapshot_time_epoch")
    first, other = found.to_pylist()
    assert first.pop("cputimes") == pytest.approx(12.345678)
    assert list(first.values()) == ["h", MIDNIGHT, -3, None, "python", -5 * 1024, None]
    assert other["comm"] == "größe 😀"
    assert (other["pid"], other["cputimes"], other["rss"]) == (None, None, 2048)
    assert other["snapshot_time_epoch"] == MIDNIGHT + 0.05


def test_the_range_is_half_open_and_hosts_are_told_apart_by_their_bytes(table: Table) -> None:
    for host in ("web", "WEB", "web ", "other"):
        for seconds in (-1, 0, 299, 300):
            table.put(host=host, snapshot_time_epoch=MIDNIGHT + seconds)
    with table.again() as second:
        found = second.rows(["web", "other"], MIDNIGHT, MIDNIGHT + 300)
        assert sorted(found.column("host").to_pylist()) == ["other", "other", "web", "web"]
        assert set(found.column("snapshot_time_epoch").to_pylist()) == {MIDNIGHT, MIDNIGHT + 299}
        nothing = second.rows(["nobody"], MIDNIGHT, MIDNIGHT + 300)
    assert nothing.schema == found.schema
    assert len(nothing) == 0


def test_no_local_time_narrows_the_rows(table: Table) -> None:
    local = dt.datetime.fromtimestamp(MIDNIGHT, dt.UTC).replace(tzinfo=None)
    for hours in (-12, 0, 14):
        table.put(snapshot_datetime=local + dt.timedelta(hours=hours))
    table.put(snapshot_datetime=None)
    with table.again(timezone=ZoneInfo("Europe/Berlin")) as second:
        assert len(second.rows(["h"], MIDNIGHT, MIDNIGHT + 300)) == 4


def test_columns_can_have_other_names_and_ages_can_be_absent(table: Table) -> None:
    table.put(comm="cc")
    table.run("ALTER TABLE processes RENAME COLUMN comm TO command")
    table.run("ALTER TABLE processes DROP COLUMN etimes")
    with table.again(columns={"comm": "command"}) as second:
        (found,) = second.rows(["h"], MIDNIGHT, MIDNIGHT + 1).to_pylist()
    assert (found["comm"], found["etimes"]) == ("cc", None)


def test_texts_in_number_columns_are_numbers_or_nothing(table: Table) -> None:
    for column in ("cputimes", "etimes"):
        table.run(f"ALTER TABLE processes DROP COLUMN {column}")
        table.run(f"ALTER TABLE processes ADD COLUMN {column} VARCHAR(20)")
    for value in ("1.5", "01:02:03", "", " 7 ", None):
        table.put(cputimes=value, etimes="60")
    with table.again() as second:
        found = second.rows(["h"], MIDNIGHT, MIDNIGHT + 1)
    values = found.column("cputimes").to_pylist()
    assert sorted(values, key=str) == [1.5, 7.0, None, None, None]
    assert set(found.column("etimes").to_pylist()) == {60.0}


def test_names_can_be_bytes_of_any_kind(table: Table) -> None:
    table.run("ALTER TABLE processes DROP COLUMN username")
    table.run("ALTER TABLE processes ADD COLUMN username VARBINARY(20)")
    for name in ("zoë".encode(), b"\xff\xfe", None):
        table.put(username=name)
    with table.again() as second:
        found = second.rows(["h"], MIDNIGHT, MIDNIGHT + 1).column("username").to_pylist()
    assert sorted(found, key=str) == [None, None, "zoë"]


def test_floats_are_read_as_precisely_as_they_are_stored(table: Table) -> None:
    """As text, MySQL would show six digits of a FLOAT."""
    table.run("ALTER TABLE processes DROP COLUMN cputimes")
    table.run("ALTER TABLE processes ADD COLUMN cputimes FLOAT")
    table.put(cputimes=1_234_567.5)
    with table.again() as second:
        (found,) = second.rows(["h"], MIDNIGHT, MIDNIGHT + 1).to_pylist()
    assert found["cputimes"] == 1_234_567.5


def test_machines_are_read_where_there_are_any(table: Table) -> None:
    with table.again() as second:
        assert second.machines(["h"], 0, 9e9) is None
    table.run("CREATE TABLE machines (name VARCHAR(20), owner VARCHAR(20))")
    with table.again() as second:
        assert second.machines(["h"], 0, 9e9) is None, "another table of that name"
    with table.again(machines="machines") as second, pytest.raises(SourceError):
        second.machines(["h"], 0, 9e9)
    table.run("DROP TABLE machines")
    table.run(
        "CREATE TABLE machines (host VARCHAR(20), snapshot_time_epoch INT, cores INT, "
        "cpu_seconds DOUBLE, memory_bytes BIGINT, memory_used_bytes BIGINT, boot_epoch INT)"
    )
    table.run(
        "INSERT INTO machines VALUES ('h', 300, 4, 1.5, 16, NULL, 7), ('i', 300, 1, 1, 1, 1, 1)"
    )
    with table.again() as second:
        found = second.machines(["h"], 300, 301)
    assert found is not None
    assert [tuple(one.values()) for one in found.to_pylist()] == [("h", 300, 4, 1.5, 16, None, 7)]


def test_what_cannot_be_read_is_an_error_for_the_operator(
    table: Table, mariadb_server: MariaDB
) -> None:
    table.run("ALTER TABLE processes DROP COLUMN cputimes")
    with table.again() as second, pytest.raises(SourceError, match="cputimes"):
        second.rows(["h"], 0, 1)
    with table.again(name="elsewhere") as second, pytest.raises(SourceError, match="elsewhere"):
        second.rows(["h"], 0, 1)
    gone = sa.make_url(mariadb_server.url()).set(port=1)
    with SecondSource(gone, SourceTable()) as second, pytest.raises(SourceOutageError):
        second.rows(["h"], 0, 1)
