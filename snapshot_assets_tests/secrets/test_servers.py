"""Servers that answer: any password opens them, and no answer of theirs shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings

from snapshot_assets.errors import StoreError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.reading.async_reader import AsyncRedisReader
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.field_table import FIELD_TABLE, execute
from snapshot_assets_tests.support.secrets import (
    HARD,
    assert_hidden,
    passwords,
    told_by,
    whatever_fails,
)
from snapshot_assets_tests.support.servers import MariaDB, Redis

# The newer protocol logs in by HELLO instead.
UNKNOWN_LOGIN = ("--rename-command", "AUTH", "")

few = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def account(mariadb_server: MariaDB) -> Callable[[str], None]:
    """Sets the password of the account ``hard``, which may read everything."""
    with mariadb_server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER IF NOT EXISTS 'hard'@'127.0.0.1'")
        cursor.execute("GRANT ALL ON monitoring.* TO 'hard'@'127.0.0.1'")

    def set_password(password: str) -> None:
        with mariadb_server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET PASSWORD FOR 'hard'@'127.0.0.1' = PASSWORD(%s)", (password,))

    return set_password


@few
@given(passwords, passwords)
@example("qzé€jk", "x")
def test_any_password_opens_a_mysql_and_no_answer_shows_it(
    account: Callable[[str], None],
    mariadb_server: MariaDB,
    capfd: pytest.CaptureFixture[str],
    password: str,
    other: str,
) -> None:
    account(password)
    url = f"mysql://hard:{quote(password, safe='')}@127.0.0.1:{mariadb_server.port}"
    texts: list[str] = []
    with ProcessSource(f"{url}/monitoring") as source:
        execute(source, "DROP TABLE IF EXISTS processes")
        with whatever_fails(texts):
            source.read_sql(0, 1)
        execute(source, FIELD_TABLE)
        assert len(source.read_sql(0, 1)) == 0
        assert source.columnar, "the columnar driver reads the password as the other one does"
    wrong = quote(other, safe="")
    for broken in (f"{url}/nowhere", url.replace(quote(password, safe=""), wrong) + "/monitoring"):
        with whatever_fails(texts), ProcessSource(broken) as source:
            source.span()
    assert len(texts) > 3
    for secret in (password, other):
        assert_hidden(secret, *texts, *capfd.readouterr())


@pytest.mark.parametrize("password", HARD)
def test_any_password_opens_a_redis_and_no_answer_shows_it(tmp_path: Path, password: str) -> None:
    texts: list[str] = []
    with Redis(tmp_path, password=password) as server:
        with RedisReader(url=server.url()) as reader:
            reader.base.ping()
        for wrong in (f"{password[:-1]}!", f"!{password[1:]}", ""):
            url = server.url().replace(quote(password, safe=""), quote(wrong, safe=""))
            with RedisReader(url=url) as reader, pytest.raises(StoreError) as denied:
                reader.base.ping()
            texts += told_by(denied.value)
    assert_hidden(password, *texts)


@pytest.mark.parametrize("password", HARD)
def test_a_server_that_repeats_a_command_it_does_not_know_repeats_no_password(
    tmp_path: Path, password: str
) -> None:
    """A proxy or a server with renamed commands answers a login by printing it."""
    with Redis(tmp_path, UNKNOWN_LOGIN) as server:
        login = f"redis://me:{quote(password, safe='')}@127.0.0.1:{server.port}/0?protocol=2"
        with RedisReader(url=login) as reader, pytest.raises(StoreError, match="unknown") as denied:
            reader.base.ping()
        options: dict[str, Any] = {"username": "me", "password": password, "protocol": 2}
        with (
            RedisWriter(port=server.port, **options) as writer,
            pytest.raises(StoreError, match="unknown") as also_denied,
        ):
            writer.progress()
    assert_hidden(password, *told_by(denied.value), *told_by(also_denied.value))
    assert "***" in str(denied.value)


@pytest.mark.parametrize("password", HARD)
def test_the_asynchronous_reader_hides_it_too(tmp_path: Path, password: str) -> None:
    texts: list[str] = []

    async def ask(url: str) -> None:
        async with AsyncRedisReader(url=url) as reader:
            with pytest.raises(StoreError, match="unknown") as denied:
                await reader.last_update()
            texts.extend([*told_by(denied.value), repr(reader), repr(reader.base.target)])

    with Redis(tmp_path, UNKNOWN_LOGIN) as server:
        login = f"redis://me:{quote(password, safe='')}@127.0.0.1:{server.port}/0?protocol=2"
        asyncio.run(ask(login))
    assert_hidden(password, *texts)
