"""Settings: every variable is read, and a wrong one is named."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from snapshot_assets.dashboard.options import AccessOptions, DashboardOptions
from snapshot_assets.domain.rules import LiveRules
from snapshot_assets.errors import SettingsError
from snapshot_assets.settings import Settings, describe_settings
from snapshot_assets.source.table import SourceTable
from snapshot_assets.store.layout import Retention


def test_the_machines_are_beside_the_processes_unless_named() -> None:
    assert SourceTable().machines_name == "machines"
    assert SourceTable("ps.rows").machines_name == "ps.machines"
    assert SourceTable("ps.rows", machines="kernel").machines_name == "kernel"


def test_every_variable_reaches_what_it_is_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "machines.csv"
    file.write_text("host,cores,memory_gb\nalice,64,512\nbob,,16\n")
    values = {
        "SOURCE_URL": "mysql://u:p@h/d",
        "SOURCE_TABLE": "ps.rows",
        "SOURCE_COLUMNS": "pid = p, host=machine",
        "SOURCE_TIMEZONE": "Europe/Berlin",
        "RSS_UNIT": "KiB",
        "MACHINES_TABLE": "ps.kernel",
        "REDIS_URL": "redis://r:1/2",
        "KEY_PREFIX": "x:",
        "LAKE": "s3://bucket/lake",
        "RETENTION_DAYS": "1.5",
        "FRAME_RETENTION_DAYS": "2.5",
        "HOUR_RETENTION_DAYS": "1",
        "DAY_RETENTION_DAYS": "400",
        "CPU_THRESHOLD": "0.5",
        "MEM_THRESHOLD": "2",
        "MAX_GAP": "700",
        "MIN_CPUTIMES": "10",
        "PASS_SECONDS": "0",
        "CAPACITY": str(file),
        "EXCLUDE_USERS": "root, systemd-*,",
        "DROP_IDLE_MEMORY": "true",
        "START_DATE": "2025-02-03",
        "LIVE_LOOKBACK": "60",
        "LIVE_LIMIT": "7200",
        "LIVE_CRON": "* * * * *",
        "SETTLE_CRON": "5 1 * * *",
        "LATE_DAYS": "3",
        "WATCH_INTERVAL": "5",
        "PROOF_SECONDS": "2.5",
        "HISTORY_DAYS": "9",
        "WEBHOOK_URL": "https://hooks.example.org/secret",
        "UI_URL": "https://dagster.example.org",
        "DASHBOARD_TITLE": "Our machines",
        "DASHBOARD_PREFIX": "our/usage",
        "DASHBOARD_CAPACITY": str(file),
        "DASHBOARD_USER_HEADER": "X-Remote-User",
        "DASHBOARD_TRUSTED_PROXIES": "127.0.0.1, 10.1.0.0/24,fd00::/64",
        "DASHBOARD_PASSWORD_FILE": "/etc/passwords",
        "DASHBOARD_OPEN_METRICS": "yes",
        "DASHBOARD_POLL": "2.5",
        "DASHBOARD_STALE": "1200",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SNAPSHOT_{name}", value)
    settings = Settings.load()
    assert settings.source_url.get_secret_value() == "mysql://u:p@h/d"
    spec = settings.source_table_spec()
    assert (spec.name, spec.rss_unit, spec.timezone) == (
        "ps.rows",
        "KiB",
        ZoneInfo("Europe/Berlin"),
    )
    assert spec.machines_name == "ps.kernel"
    assert (spec.physical("pid"), spec.physical("rss")) == ("p", "rss")
    expected = {
        "url": "redis://r:1/2",
        "prefix": "x:",
        "retention": Retention(129_600, 216_000, 216_000, 400 * 86_400),
    }
    assert settings.redis() == expected
    rules = settings.accounting()
    assert rules.max_gap_seconds == 700
    assert rules.excluded_users == ("root", "systemd-*")
    assert rules.drop_idle_memory
    assert (rules.min_cputimes, rules.pass_seconds) == (10, 0)
    assert rules.capacity_cores == {"alice": 64}, "nothing is known of bob's cores"
    listed = settings.documents()
    assert (listed.cpu_threshold_cores, listed.mem_threshold_gb) == (0.5, 2)
    assert settings.live() == LiveRules(60, 7200)
    assert (settings.live_cron, settings.settle_cron) == ("* * * * *", "5 1 * * *")
    assert (settings.late_days, settings.watch_interval, settings.history_days) == (3, 5, 9)
    assert settings.proof_seconds == 2.5
    assert settings.webhook_url is not None
    assert settings.webhook_url.get_secret_value() == "https://hooks.example.org/secret"
    assert settings.ui_url == "https://dagster.example.org"
    assert settings.start_date == dt.date(2025, 2, 3)
    assert settings.lake == "s3://bucket/lake"
    assert settings.dashboard() == DashboardOptions(
        title="Our machines",
        url_prefix="/our/usage/",
        poll_seconds=2.5,
        stale_seconds=1200,
        max_gap_seconds=700,
        capacity_file=file,
        access=AccessOptions(
            user_header="X-Remote-User",
            trusted_proxies=tuple(map(ip_network, ("127.0.0.1", "10.1.0.0/24", "fd00::/64"))),
            password_file=Path("/etc/passwords"),
            open_metrics=True,
        ),
    )
    assert {name for name, _, _ in describe_settings()} == {f"SNAPSHOT_{n}" for n in values}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MAX_GAP", "soon", "valid number"),
        ("MAX_GAP", "0", "greater than 0"),
        ("MIN_CPUTIMES", "-1", "greater than or equal to 0"),
        ("PASS_SECONDS", "-0.5", "greater than or equal to 0"),
        ("PASS_SECONDS", "120", "less than 120"),
        ("RSS_UNIT", "KB", "'bytes' or 'KiB'"),
        ("RETENTION_DAYS", "-1", "greater than 0"),
        ("CPU_THRESHOLD", "nan", "finite"),
        ("START_DATE", "yesterday", "date"),
        ("SOURCE_COLUMNS", "foo=bar", "no column foo"),
        ("SOURCE_COLUMNS", "pid", "column=your_name"),
        ("SOURCE_COLUMNS", "pid=", "no name given for pid"),
        ("SOURCE_TIMEZONE", "Mars/Base", "no time zone"),
        ("LIVE_CRON", "every minute", "five fields"),
        ("DASHBOARD_PREFIX", "https://example.org/usage", "write a path"),
        ("DASHBOARD_PREFIX", "/a/../b", "write a path"),
        ("DASHBOARD_PREFIX", "/a b", "write a path"),
        ("DASHBOARD_USER_HEADER", "X_Remote_User", "letters, digits and dashes"),
        ("DASHBOARD_USER_HEADER", "x-forwarded-FOR", "others than the proxy"),
        ("DASHBOARD_TRUSTED_PROXIES", "localhost", "write addresses or networks"),
        ("DASHBOARD_TRUSTED_PROXIES", "10.1.0.7/24", "host bits"),
        ("DASHBOARD_TRUSTED_PROXIES", "0.0.0.0/0", "contains every client"),
        ("DASHBOARD_POLL", "0", "greater than or equal to 1"),
        ("DASHBOARD_STALE", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    monkeypatch.setenv(f"SNAPSHOT_{name}", value)
    with pytest.raises(SettingsError, match=f"SNAPSHOT_{name}: .*{told}.*{value}"):
        Settings.load()


@pytest.mark.parametrize("name", ["CAPACITY", "DASHBOARD_CAPACITY"])
def test_the_capacities_have_an_old_name_and_a_new_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "machines.csv"
    file.write_text("host,cores,memory_gb\nalice,64,512\n")
    assert Settings.load().accounting().capacity_cores == {}
    monkeypatch.setenv(f"SNAPSHOT_{name}", str(file))
    settings = Settings.load()
    assert settings.accounting().capacity_cores == {"alice": 64}
    assert settings.dashboard().capacity_file == file
    file.write_text("host,cores,memory_gb\nalice,32,512\n")
    assert settings.accounting().capacity_cores == {"alice": 32}, "as the file is now"


def test_two_different_capacity_files_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAPSHOT_CAPACITY", "a.csv")
    monkeypatch.setenv("SNAPSHOT_DASHBOARD_CAPACITY", str(Path("a.csv").absolute()))
    assert Settings.load().capacity_file == Path("a.csv")
    monkeypatch.setenv("SNAPSHOT_DASHBOARD_CAPACITY", "b.csv")
    told = "SNAPSHOT_DASHBOARD_CAPACITY: this is the old name of SNAPSHOT_CAPACITY, .*a.csv; remove"
    with pytest.raises(SettingsError, match=told):
        Settings.load()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file or directory; make it, or remove the setting"),
        (b"\xff", "is not UTF-8; save it as UTF-8"),
        (b"alice,64,512\n", "line 1: write the columns' names there: host,cores,memory_gb"),
        (b"host,cores,memory_gb\nalice,many,1\n", "line 2: cores is 'many'; write a number"),
    ],
)
def test_a_capacity_file_that_cannot_be_read_is_no_empty_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, told: str
) -> None:
    file = tmp_path / "machines.csv"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SNAPSHOT_CAPACITY", str(file))
    settings = Settings.load()  # the pages show the error, and go on
    with pytest.raises(SettingsError, match=f"^SNAPSHOT_CAPACITY: {file}.*{told}"):
        settings.accounting()


@pytest.mark.parametrize(
    ("written", "prefix"), [("/", "/"), ("usage", "/usage/"), (" /a/b// ", "/a/b/")]
)
def test_a_prefix_gets_a_slash_at_both_ends(
    monkeypatch: pytest.MonkeyPatch, written: str, prefix: str
) -> None:
    monkeypatch.setenv("SNAPSHOT_DASHBOARD_PREFIX", written)
    assert Settings.load().dashboard().url_prefix == prefix


@pytest.mark.parametrize(
    ("name", "value", "missing"),
    [
        ("DASHBOARD_USER_HEADER", "X-Remote-User", "DASHBOARD_TRUSTED_PROXIES"),
        ("DASHBOARD_TRUSTED_PROXIES", "127.0.0.1", "DASHBOARD_USER_HEADER"),
    ],
)
def test_a_header_and_who_may_set_it_need_one_another(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, missing: str
) -> None:
    monkeypatch.setenv(f"SNAPSHOT_{name}", value)
    settings = Settings.load()  # no other command minds
    with pytest.raises(SettingsError, match=f"^SNAPSHOT_{missing}: is needed with SNAPSHOT_{name}"):
        settings.dashboard()


def test_the_environment_wins_over_the_dotenv_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("SNAPSHOT_MAX_GAP=600\nSNAPSHOT_KEY_PREFIX=file:\nOTHER=1\n")
    monkeypatch.setenv("SNAPSHOT_KEY_PREFIX", "environment:")
    settings = Settings.load()
    assert settings.max_gap == 600
    assert settings.key_prefix == "environment:"


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAPSHOT_SOURCE_URL", "mysql://u:hunter2@h/d")
    monkeypatch.setenv("SNAPSHOT_REDIS_URL", "redis://:hunter2@h")
    monkeypatch.setenv("SNAPSHOT_WEBHOOK_URL", "https://hooks.example.org/hunter2")
    assert "hunter2" not in f"{Settings.load()!r} {Settings.load()}"
