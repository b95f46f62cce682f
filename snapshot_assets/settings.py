"""The settings, read from the environment and from ``.env``, here and nowhere else.

A wrong value raises a :class:`~snapshot_assets.errors.SettingsError` that names the variable. This
module turns values into plain objects for the layers below, which document their meaning.
"""

from __future__ import annotations

import datetime as dt
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from snapshot_assets.dashboard.options import AccessOptions, DashboardOptions, Network
from snapshot_assets.domain.rules import AccountingRules, DocumentRules, LiveRules
from snapshot_assets.errors import SettingsError
from snapshot_assets.source.table import COLUMNS, RssUnit, SourceTable
from snapshot_assets.store.layout import Retention

PREFIX = "SNAPSHOT_"
_SECONDS_PER_DAY = 86_400
# Any client can set these headers, or proxies use them for another purpose. None of them proves who
# the user is.
_NO_USER_HEADERS = re.compile(
    r"authorization|cookie|forwarded|from|host|origin|referer|user-agent|via|"
    r"x-forwarded-(by|for|host|port|proto)|x-real-ip",
    re.IGNORECASE,
)


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
    source_columns: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Columns with other names in your table, such as `comm=command,rss=resident`",
    )
    source_timezone: str | None = Field(
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
        "data/lake", min_length=1, description="Path or fsspec URL of the Parquet lake"
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
        15, ge=0, description="Time per run for counting CPU-seconds again in SQL, seconds"
    )
    history_days: int = Field(
        14, ge=1, description="Dagster keeps runs that no partition's status needs this long, days"
    )
    webhook_url: SecretStr | None = Field(
        None, description="URL that gets a POST with JSON when a run fails, in Slack's format"
    )
    ui_url: str = Field(
        "http://127.0.0.1:3000", description="Address of Dagster's UI, for links in messages"
    )
    start_date: dt.date = Field(
        dt.date(2026, 1, 1), description="First day that can be settled, UTC"
    )
    dashboard_title: str = Field(
        DashboardOptions().title, min_length=1, max_length=200, description="Title of the pages"
    )
    dashboard_prefix: str = Field(
        DashboardOptions().url_prefix,
        description="Path of the pages, for example `/usage/` behind a reverse proxy",
    )
    dashboard_capacity: Path | None = Field(
        None, description="CSV file `host,cores,memory_gb` with the sizes of the machines"
    )
    dashboard_user_header: str | None = Field(
        None, description="Request header in which a reverse proxy names the user"
    )
    dashboard_trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
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
            lines = [
                f"{PREFIX}{'_'.join(map(str, e['loc'][:1])).upper()}: {_described(e)}"
                for e in errors.errors(include_url=False)
            ]
            raise SettingsError("\n".join(lines)) from None

    @field_validator("exclude_users", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("source_columns", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [pair.strip() for pair in value.split(",") if pair.strip()]
        if any("=" not in pair for pair in pairs):
            raise ValueError("write column=your_name, separated by commas, such as comm=command")
        return {k.strip(): v.strip() for k, v in (pair.split("=", 1) for pair in pairs)}

    @field_validator("source_columns")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        known = {*COLUMNS, "snapshot_datetime"}
        if unknown := sorted(set(value) - known):
            raise ValueError(
                f"no column {', '.join(unknown)}; the columns are {', '.join(sorted(known))}"
            )
        if empty := sorted(column for column, physical in value.items() if not physical):
            raise ValueError(f"no name given for {', '.join(empty)}")
        return value

    @field_validator("live_cron", "settle_cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        if not re.fullmatch(r"[\d*/,A-Za-z-]+( +[\d*/,A-Za-z-]+){4}", value):
            raise ValueError("write five fields: minute hour day month weekday, such as 45 0 * * *")
        return value

    @field_validator("source_timezone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError(
                    f"there is no time zone {value!r}; write, for example, Europe/Berlin"
                ) from None
        return value

    @field_validator("dashboard_prefix")
    @classmethod
    def _path(cls, value: str) -> str:
        segments = value.strip().strip("/").split("/")
        if segments == [""]:
            return "/"
        for segment in segments:
            if not re.fullmatch(r"[A-Za-z0-9._~-]+", segment) or segment in {".", ".."}:
                raise ValueError("write a path of letters, digits and -._~, such as /usage/")
        return f"/{'/'.join(segments)}/"

    @field_validator("dashboard_user_header")
    @classmethod
    def _header(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # WSGI does not distinguish "_" from "-", so a client could send the other spelling. Servers
        # therefore drop headers with an underscore.
        if not re.fullmatch(r"[A-Za-z0-9-]+", value):
            raise ValueError("write a header of letters, digits and dashes, such as X-Remote-User")
        if _NO_USER_HEADERS.fullmatch(value):
            raise ValueError(
                "others than the proxy set this header too; choose another, such as X-Remote-User"
            )
        return value

    @field_validator("dashboard_trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        networks = []
        for text in (part.strip() for part in value.split(",") if part.strip()):
            try:
                network = ip_network(text)
            except ValueError as error:
                raise ValueError(
                    f"write addresses or networks, such as 127.0.0.1,10.1.0.0/24: {error}"
                ) from None
            if network.prefixlen == 0:
                raise ValueError(
                    "this network contains every client; write the addresses of the proxies"
                )
            networks.append(network)
        return tuple(networks)

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
        """The rules of the accounting."""
        return AccountingRules(
            max_gap_seconds=self.max_gap,
            excluded_users=self.exclude_users,
            drop_idle_memory=self.drop_idle_memory,
        )

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
            capacity_file=self.dashboard_capacity,
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
        documents = round(self.retention_days * _SECONDS_PER_DAY)
        frames = max(documents, round(self.frame_retention_days * _SECONDS_PER_DAY))
        hours = max(frames, round(self.hour_retention_days * _SECONDS_PER_DAY))
        days = max(hours, round(self.day_retention_days * _SECONDS_PER_DAY))
        return Retention(documents, frames, hours, days)


def describe_settings() -> list[tuple[str, str, str]]:
    """Variable, default and meaning of each setting, for the docs; no default is an empty text."""
    rows = []
    for name, info in Settings.model_fields.items():
        default = info.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, SecretStr):
            default = default.get_secret_value()
        shown = "" if default in (None, "", (), {}) else str(default)
        rows.append((PREFIX + name.upper(), shown, info.description or ""))
    return rows


def _described(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    # URLs may hold passwords, so their values are never shown.
    if error["loc"] and str(error["loc"][0]).endswith("_url"):
        return message
    return f"{message} (it is {given!r})"
