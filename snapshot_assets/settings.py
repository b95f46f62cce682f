"""The settings, read from the environment and from ``.env``, here and nowhere else.

A wrong value raises a :class:`~snapshot_assets.errors.SettingsError` that names the variable. This
module turns values into plain objects for the layers below, which document their meaning.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from snapshot_assets.dashboard.capacity import read as read_capacities
from snapshot_assets.dashboard.options import (
    AccessOptions,
    DashboardOptions,
    Network,
    networks,
    url_path,
    user_header,
)
from snapshot_assets.domain.capacity import Capacity, known_cores
from snapshot_assets.domain.rules import AccountingRules, DocumentRules, LiveRules
from snapshot_assets.errors import SettingsError
from snapshot_assets.source.table import (
    RssUnit,
    SourceTable,
    column_pairs,
    known_columns,
    zone_name,
)
from snapshot_assets.store.layout import Retention

PREFIX = "SNAPSHOT_"
_SECONDS_PER_DAY = 86_400


class Settings(BaseSettings):
    """All settings; each is the environment variable ``SNAPSHOT_<NAME IN CAPITALS>``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        allow_inf_nan=False,
    )

    source_url: SecretStr = Field(
        SecretStr("sqlite:///data/processes.db"),
        description="SQLAlchemy URL of the database that holds the process rows",
    )
    source_table: str = Field(
        "processes", min_length=1, description="Table or view with the rows, or `schema.table`"
    )
    source_columns: Annotated[
        dict[str, str], NoDecode, BeforeValidator(column_pairs), AfterValidator(known_columns)
    ] = Field(
        default_factory=dict,
        description="Columns with other names in your table, such as `comm=command,rss=resident`",
    )
    source_timezone: Annotated[str, AfterValidator(zone_name)] | None = Field(
        None,
        description="Time zone of the naive `snapshot_datetime` column, if only that column is "
        "indexed; for example `Europe/Berlin`",
    )
    rss_unit: RssUnit = Field(
        "bytes", description="Unit of the `rss` column: `bytes`, or `KiB` as `ps` prints it"
    )
    machines_table: str | None = Field(
        None,
        min_length=1,
        description="Table with the kernel's own count; if unset, `machines` if it has the columns",
    )
    redis_url: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        description="URL of Redis or Valkey: `redis://`, `rediss://` (TLS), `unix://`, "
        "`redis+sentinel://host,host/service` or `redis+cluster://host,host`",
    )
    key_prefix: str = Field("", description="Text in front of each Redis key")
    lake: str = Field(
        "data/lake", min_length=1, repr=False, description="Path or fsspec URL of the Parquet lake"
    )
    retention_days: float = Field(
        30, gt=0, le=36_500, description="Redis keeps a bucket's documents this long, days"
    )
    frame_retention_days: float = Field(
        90,
        gt=0,
        le=36_500,
        description="Redis keeps 5-minute frames this long, days; not less than documents",
    )
    hour_retention_days: float = Field(
        180,
        gt=0,
        le=36_500,
        description="Redis keeps hourly frames this long, days; not less than 5-minute frames",
    )
    day_retention_days: float = Field(
        366,
        gt=0,
        le=36_500,
        description="Redis keeps daily frames this long, days; not less than hourly frames",
    )
    cpu_threshold: float = Field(
        DocumentRules().cpu_threshold_cores,
        ge=0,
        description="A user and command above this has an entry of its own, cores",
    )
    mem_threshold: float = Field(
        DocumentRules().mem_threshold_gb,
        ge=0,
        description="A user and command above this has an entry of its own, GB",
    )
    max_gap: float = Field(
        AccountingRules().max_gap_seconds,
        gt=0,
        le=_SECONDS_PER_DAY,
        description="Two snapshots further apart than this leave a gap, seconds",
    )
    min_cputimes: float = Field(
        AccountingRules().min_cputimes,
        ge=0,
        description="The collectors hide processes that have used less CPU than this, seconds; 0 "
        "if they hide none",
    )
    pass_seconds: float = Field(
        AccountingRules().pass_seconds,
        ge=0,
        lt=AccountingRules().pass_span_seconds,
        description="Stamps at most this far apart are one snapshot, seconds; 0: each stamp is one",
    )
    capacity: Path | None = Field(
        None,
        description="CSV file `host,cores,memory_gb` with the sizes of the machines of which the "
        "machines' table has no rows",
    )
    exclude_users: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Accounts to leave out of the figures, names or patterns: `root,systemd-*`",
    )
    drop_idle_memory: bool = Field(
        False,
        description="Leave out the memory of processes that used no CPU since the snapshot before",
    )
    live_lookback: float = Field(
        LiveRules().lookback_seconds,
        ge=0,
        le=_SECONDS_PER_DAY,
        description="Each live refresh publishes this far back again, for late rows, seconds",
    )
    live_limit: float = Field(
        LiveRules().limit_seconds,
        gt=0,
        le=14 * _SECONDS_PER_DAY,
        description="After an outage, the live refresh catches up at most this far, seconds",
    )
    live_cron: str = Field("*/5 * * * *", description="When the live refresh runs, cron in UTC")
    settle_cron: str = Field("45 0 * * *", description="When the day before settles, cron in UTC")
    late_days: int = Field(
        7, ge=1, le=366, description="Days searched for late rows and failed partitions"
    )
    watch_interval: int = Field(
        60,
        ge=1,
        le=3_600,
        description="Time between two checks that Redis is complete, seconds; the search for late "
        "rows runs a fifth as often",
    )
    proof_seconds: float = Field(
        15, ge=0, description="Time per run for counting its rows again in SQL, seconds"
    )
    history_days: int = Field(
        14, ge=1, description="Dagster keeps runs that no partition's status needs this long, days"
    )
    webhook_url: SecretStr | None = Field(
        None, description="URL that gets a POST with JSON when a run fails, in Slack's format"
    )
    ui_url: str = Field(
        "http://127.0.0.1:3000",
        repr=False,
        description="Address of Dagster's UI, for links in messages",
    )
    start_date: dt.date = Field(
        dt.date(2026, 1, 1), description="First day that can be settled, UTC"
    )
    dashboard_title: str = Field(
        DashboardOptions().title, min_length=1, max_length=200, description="Title of the pages"
    )
    dashboard_prefix: Annotated[str, AfterValidator(url_path)] = Field(
        DashboardOptions().url_prefix,
        description="Path of the pages, for example `/usage/` behind a reverse proxy",
    )
    dashboard_capacity: Path | None = Field(None, description=f"Old name of `{PREFIX}CAPACITY`")
    dashboard_user_header: Annotated[str, AfterValidator(user_header)] | None = Field(
        None, description="Request header in which a reverse proxy names the user"
    )
    dashboard_trusted_proxies: Annotated[
        tuple[Network, ...], NoDecode, BeforeValidator(networks)
    ] = Field(
        (),
        description="The dashboard believes that header only from these addresses or networks: "
        "`127.0.0.1,10.1.0.0/24`",
    )
    dashboard_password_file: Path | None = Field(
        None, description="File with `name:hash` lines, for the dashboard's own login"
    )
    dashboard_open_metrics: bool = Field(False, description="Serve `/metrics` without a login")
    dashboard_poll: float = Field(
        15, ge=1, le=3_600, description="An open page polls for new data this often, seconds"
    )
    dashboard_stale: float = Field(
        900, gt=0, description="Pages warn if the newest bucket ended longer ago, seconds"
    )

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the environment.

        Raises:
            SettingsError: one line per wrong variable.
        """
        try:
            return cls(**overrides)
        except ValidationError as errors:
            lines = map(_described, errors.errors(include_url=False))
            raise SettingsError("\n".join(lines)) from None

    @field_validator("exclude_users", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("live_cron", "settle_cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        if not re.fullmatch(r"[\d*/,A-Za-z-]+( +[\d*/,A-Za-z-]+){4}", value):
            raise ValueError("write five fields: minute hour day month weekday, such as 45 0 * * *")
        return value

    @field_validator("dashboard_capacity")
    @classmethod
    def _one_capacity(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        named = info.data.get("capacity")
        if value is not None and named is not None and value.absolute() != named.absolute():
            raise ValueError(
                f"this is the old name of {PREFIX}CAPACITY, which names another file, {named}; "
                "remove one of the two"
            )
        return value

    def is_set(self, name: str) -> bool:
        """Whether the environment or ``.env`` sets this setting."""
        return name in self.model_fields_set

    # --- the objects that the layers below take -------------------------------------------------

    def source_table_spec(self) -> SourceTable:
        """Names and units of the source table."""
        zone = ZoneInfo(self.source_timezone) if self.source_timezone else None
        return SourceTable(
            self.source_table, self.source_columns, self.rss_unit, zone, self.machines_table
        )

    def accounting(self) -> AccountingRules:
        """The rules of the accounting, with the capacities that the file has now.

        Raises:
            SettingsError: the capacity file is missing or has an error.
        """
        return AccountingRules(
            max_gap_seconds=self.max_gap,
            excluded_users=self.exclude_users,
            drop_idle_memory=self.drop_idle_memory,
            pass_seconds=self.pass_seconds,
            min_cputimes=self.min_cputimes,
            capacity_cores=known_cores(self.capacities()),
        )

    @property
    def capacity_file(self) -> Path | None:
        """The capacity file, by its new or its old name."""
        return self.capacity or self.dashboard_capacity

    def capacities(self) -> dict[str, Capacity]:
        """The sizes of the machines; empty without a file.

        Raises:
            SettingsError: the file is missing or has an error.
        """
        file = self.capacity_file
        if file is None:
            return {}
        try:
            return read_capacities(file, str(file))
        except ValueError as error:
            raise SettingsError(f"{PREFIX}CAPACITY: {error}") from None

    def documents(self) -> DocumentRules:
        """The rules of the documents."""
        return DocumentRules(self.cpu_threshold, self.mem_threshold)

    def live(self) -> LiveRules:
        """How far back the live path reaches."""
        return LiveRules(self.live_lookback, self.live_limit)

    def dashboard(self) -> DashboardOptions:
        """How the dashboard serves the pages.

        Raises:
            SettingsError: the user header and the trusted proxies are not set together.
        """
        header, proxies = "SNAPSHOT_DASHBOARD_USER_HEADER", "SNAPSHOT_DASHBOARD_TRUSTED_PROXIES"
        if self.dashboard_user_header and not self.dashboard_trusted_proxies:
            raise SettingsError(
                f"{proxies}: is needed with {header}, because otherwise any client could name any "
                "user; write the addresses that the reverse proxy connects from, such as 127.0.0.1"
            )
        if self.dashboard_trusted_proxies and not self.dashboard_user_header:
            raise SettingsError(
                f"{header}: is needed with {proxies}; write the header in which the proxies name "
                "the user"
            )
        return DashboardOptions(
            title=self.dashboard_title,
            url_prefix=self.dashboard_prefix,
            poll_seconds=self.dashboard_poll,
            stale_seconds=self.dashboard_stale,
            max_gap_seconds=self.max_gap,
            capacity_file=self.capacity_file,
            access=AccessOptions(
                user_header=self.dashboard_user_header,
                trusted_proxies=self.dashboard_trusted_proxies,
                password_file=self.dashboard_password_file,
                open_metrics=self.dashboard_open_metrics,
            ),
        )

    def redis(self) -> dict[str, Any]:
        """The arguments of a Redis reader or writer."""
        return {
            "url": self.redis_url.get_secret_value(),
            "prefix": self.key_prefix,
            "retention": self.retention(),
        }

    def retention(self) -> Retention:
        """How long Redis keeps each form; a coarser form at least as long as a finer form."""
        return Retention.of_days(
            self.retention_days,
            self.frame_retention_days,
            self.hour_retention_days,
            self.day_retention_days,
        )


def usable_settings() -> tuple[Settings, list[str]]:
    """The settings, with the default in place of each wrong one, and a line for each wrong one."""
    try:
        return Settings.load(), []
    except SettingsError as error:
        problems = str(error).splitlines()
    defaults = Settings.model_construct()
    wrong = [line.partition(":")[0].removeprefix(PREFIX).lower() for line in problems]
    return Settings.load(**{name: getattr(defaults, name) for name in wrong}), problems


def describe_settings() -> list[tuple[str, str, str]]:
    """Variable, default and meaning of each setting, for the docs; no default is an empty text."""
    rows, defaults = [], Settings.model_construct()
    for name, info in Settings.model_fields.items():
        default = getattr(defaults, name)
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "" if default in (None, "", (), {}) else str(default)
        rows.append((PREFIX + name.upper(), shown, info.description or ""))
    return rows


def _described(error: Any) -> str:
    name = str(error["loc"][0])
    message = f"{PREFIX}{name.upper()}: {str(error['msg']).removeprefix('Value error, ')}"
    # URLs may hold passwords, so their values are never shown.
    return message if name.endswith(("_url", "lake")) else f"{message} (it is {error['input']!r})"
