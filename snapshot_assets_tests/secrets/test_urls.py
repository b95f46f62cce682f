"""A URL that is wrong, or that nothing answers to, shows no part of its password."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

import dagster as dg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.lake.lake import Lake
from snapshot_assets.lake.notes import AGGREGATES
from snapshot_assets.orchestration.notify import failure_message
from snapshot_assets.pipeline.webhook import post
from snapshot_assets.settings import Settings
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets.urls import masked, secrets_of, without_login
from snapshot_assets_tests.support.field_table import DAY
from snapshot_assets_tests.support.secrets import (
    assert_hidden,
    passwords,
    spellings,
    told_by,
    whatever_fails,
)

NO_WAITING = Patience(0.2, 0, 0.0)
few = settings(max_examples=20)
spelled = st.sampled_from(spellings)


# --- texts ---------------------------------------------------------------------------------------


@given(passwords, spelled)
def test_a_text_loses_every_part_of_a_password(password: str, spell: Callable[[str], str]) -> None:
    secrets = secrets_of(f"mysql://user:{spell(password)}@host/db")
    text = f"first {password[1:]}. {password!r}, {quote(password)}"
    assert_hidden(password, masked(text, secrets))
    assert masked(text, secrets).startswith("first ")


def test_a_text_without_a_part_of_a_password_stays_as_it_is() -> None:
    text = "Access denied for user 'reader'@'10.0.0.1' (using password: YES)"
    assert masked(text, secrets_of("mysql://reader:geheim@db/m")) == text
    assert masked(text, secrets_of("mysql://db/m", "redis://cache:6379/0", "data/lake", None)) == (
        text
    )


def test_passwords_are_found_in_options_and_behind_other_schemes() -> None:
    assert secrets_of("redis://h/0?db=3&password=geheim") == {"geheim"}
    assert "secret&x" in secrets_of("redis://h/0?password=secret&x")
    assert secrets_of("simplecache::ftp://me:geheim@h/x") == {"geheim"}
    assert secrets_of("s3://key:geheim@bucket", users=True) == {"key", "geheim"}
    assert without_login("https://me:geheim@ui/x") == "https://ui/x"


# --- URLs that nothing listens to ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "mysql://reader:{}@127.0.0.1:1/monitoring",
        "mariadb://reader:{}@127.0.0.1:1/monitoring?charset=latin1",
        "mysql+pymysql://reader:{}@[::1]:1/monitoring",
        "mysql://127.0.0.1:1/monitoring?password={}",
        "mysql://reader:{}@127.0.0.1:1/monitoring?foo={}",
        "mysql://reader:{}@127.0.0.1:port/monitoring",
        "postgresql://reader:{}@127.0.0.1:1/monitoring",
        "nonsense {} ://reader:{}@127.0.0.1:1",
    ],
)
@few
@given(passwords, spelled)
@example("12#qxzj", spellings[1])
@example("qxzj@12/kkkk", spellings[1])
@example("qx&zjkk=7", spellings[1])
def test_a_source_that_cannot_be_read_keeps_its_password(
    url: str, password: str, spell: Callable[[str], str]
) -> None:
    texts: list[str] = []
    with whatever_fails(texts), ProcessSource(url.replace("{}", spell(password))) as source:
        texts += [repr(source), f"{source}"]
        with whatever_fails(texts):
            source.span()
    assert texts
    assert_hidden(password, *texts)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:{}@127.0.0.1:1/0",
        "redis://:{}@127.0.0.1:1/0",
        "rediss://user:{}@127.0.0.1:1/0",
        "redis://:{}@127.0.0.1:port/0",
        "redis://127.0.0.1:1/0?password={}",
        "redis://127.0.0.1:1/0?pasword={}",
        "redis+sentinel://user:{}@127.0.0.1:1,127.0.0.1:2/service/0",
        "redis+sentinel://:{}@127.0.0.1:1",
        "redis+cluster://user:{}@127.0.0.1:1,127.0.0.1:2",
        "rediss+cluster://:{}@127.0.0.1:1,127.0.0.1:x",
        "unix://user:{}@/nowhere/redis.sock",
        "unix:///nowhere/redis.sock?password={}",
        "http://:{}@127.0.0.1:1",
    ],
)
@few
@given(passwords, spelled)
@example("12#qxzj", spellings[1])
@example("[qxzj]kk", spellings[1])
def test_a_redis_that_cannot_be_reached_keeps_its_password(
    url: str, password: str, spell: Callable[[str], str]
) -> None:
    texts: list[str] = []
    with (
        whatever_fails(texts),
        RedisReader(url=url.replace("{}", spell(password)), patience=NO_WAITING) as reader,
    ):
        texts += [repr(reader), repr(reader.base), repr(reader.base.target), reader.address]
        with whatever_fails(texts):
            reader.base.ping()
    assert texts
    assert_hidden(password, *texts)


@few
@given(passwords)
def test_a_password_without_a_host_is_no_port(password: str) -> None:
    # A number, or what follows an @, may as well be a port or a host: nobody can know better.
    written = f"q{password}".replace("@", "")
    texts: list[str] = []
    for kind, url in ((ProcessSource, "mysql://reader"), (RedisReader, "redis://")):
        with pytest.raises(SnapshotAssetsError, match="cannot be read") as wrong:
            kind(url=f"{url}:{written}")
        texts += told_by(wrong.value)
    assert_hidden(written, *texts)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://user:{}@127.0.0.1:1/lake",
        "ftp://user:{}@127.0.0.1:port/lake",
        "http://user:{}@127.0.0.1:1/lake",
        "memory://user:{}@bucket/lake",
        "s3://AKIA:{}@bucket/lake",
        "simplecache::memory://user:{}@bucket/lake",
        "nonsense://user:{}@bucket/lake",
    ],
)
@few
@given(passwords, spelled)
def test_a_lake_that_cannot_be_used_keeps_its_password(
    url: str, password: str, spell: Callable[[str], str]
) -> None:
    texts: list[str] = []
    with whatever_fails(texts):
        lake = Lake(url.replace("{}", spell(password)))
        texts += [repr(lake), lake.base, lake.shown_path(AGGREGATES, DAY, "alice")]
        with whatever_fails(texts):
            lake.read(AGGREGATES, DAY, "alice")
    assert texts
    assert_hidden(password, *texts)
    assert "AKIA" not in "".join(texts)


@few
@given(passwords, spelled)
def test_a_webhook_and_the_settings_keep_their_passwords(
    password: str, spell: Callable[[str], str]
) -> None:
    written = spell(password)
    urls = {
        "source_url": f"mysql://reader:{written}@db/monitoring",
        "redis_url": f"redis://:{written}@cache:6379/0",
        "lake": f"s3://key:{written}@bucket/lake",
        "webhook_url": f"http://me:{written}@127.0.0.1:1/x",
        "ui_url": f"https://me:{written}@ui.example/",
    }
    loaded = Settings.load(**urls)
    with pytest.raises(SnapshotAssetsError) as wrong:
        Settings.load(**urls, max_gap="soon")
    with pytest.raises(RuntimeError) as refused:
        post(urls["webhook_url"], {})
    message = failure_message(
        dg.DagsterRun(job_name="live"), [f"no way in with {password}", written], loaded
    )
    assert_hidden(
        password,
        *(repr(loaded), str(loaded), str(message)),
        *told_by(wrong.value),
        *told_by(refused.value),
    )
    assert "https://ui.example/runs/" in message["link"]
