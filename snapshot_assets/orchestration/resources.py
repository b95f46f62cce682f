"""The resources: each turns configuration into an open source, lake, reader or writer, or rules.

A field left empty is read from the environment when a run opens the resource, never at import. So
the definitions load without settings, and the UI shows no secret. The resources yield the plain
classes of ``source``, ``lake``, ``store`` and ``pipeline``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import Field

from snapshot_assets.domain.rules import AccountingRules, DocumentRules, LiveRules
from snapshot_assets.lake.lake import Lake
from snapshot_assets.orchestration.secrecy import no_secrets_in_errors
from snapshot_assets.pipeline.changed import SettingsNow
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.settings import Settings
from snapshot_assets.source.query import ProcessSource
from snapshot_assets.source.table import SourceTable
from snapshot_assets.store.reading.reader import RedisReader


def _settings(**overrides: object) -> Settings:
    return Settings.load(**{k: v for k, v in overrides.items() if v is not None})


class SourceResource(dg.ConfigurableResource):
    """The source table; ``open()`` yields a :class:`ProcessSource`."""

    url: str | None = Field(
        default=None, repr=False, description="SQLAlchemy URL; else SNAPSHOT_SOURCE_URL"
    )
    table: str | None = Field(default=None, description="Table or view; else SNAPSHOT_SOURCE_TABLE")
    rss_unit: str | None = Field(default=None, description="bytes or KiB; else SNAPSHOT_RSS_UNIT")

    def described(self) -> SourceTable:
        """The table as it is configured; nothing connects."""
        return self._settings().source_table_spec()

    @contextmanager
    def open(self) -> Iterator[ProcessSource]:
        """An open source, closed at the end."""
        settings = self._settings()
        url = settings.source_url.get_secret_value()
        with (
            no_secrets_in_errors(settings),
            ProcessSource(url, settings.source_table_spec()) as source,
        ):
            yield source

    def _settings(self) -> Settings:
        return _settings(source_url=self.url, source_table=self.table, rss_unit=self.rss_unit)


class LakeResource(dg.ConfigurableResource):
    """The Parquet lake; ``open()`` yields a :class:`Lake`."""

    base: str | None = Field(
        default=None, repr=False, description="fsspec URL or path; else SNAPSHOT_LAKE"
    )

    @contextmanager
    def open(self) -> Iterator[Lake]:
        """The lake."""
        settings = _settings(lake=self.base)
        with no_secrets_in_errors(settings):
            yield Lake(settings.lake)


class RedisResource(dg.ConfigurableResource):
    """Redis; ``reader()`` and ``writer()`` yield :class:`RedisReader` and :class:`RedisWriter`."""

    url: str | None = Field(
        default=None, repr=False, description="redis:// URL; else SNAPSHOT_REDIS_URL"
    )
    key_prefix: str | None = Field(
        default=None, description="Before each key; else SNAPSHOT_KEY_PREFIX"
    )
    retention_days: float | None = Field(default=None, description="Else SNAPSHOT_RETENTION_DAYS")

    @contextmanager
    def reader(self) -> Iterator[RedisReader]:
        """An open reader, closed at the end."""
        settings = self._settings()
        with no_secrets_in_errors(settings), RedisReader(**settings.redis()) as reader:
            yield reader

    @contextmanager
    def writer(self) -> Iterator[RedisWriter]:
        """An open writer, closed at the end."""
        settings = self._settings()
        with no_secrets_in_errors(settings), RedisWriter(**settings.redis()) as writer:
            yield writer

    def _settings(self) -> Settings:
        return _settings(
            redis_url=self.url, key_prefix=self.key_prefix, retention_days=self.retention_days
        )


class RulesResource(dg.ConfigurableResource):
    """The rules of accounting, documents and live refresh."""

    max_gap: float | None = Field(default=None, description="Seconds; else SNAPSHOT_MAX_GAP")
    cpu_threshold: float | None = Field(
        default=None, description="Cores; else SNAPSHOT_CPU_THRESHOLD"
    )
    mem_threshold: float | None = Field(default=None, description="GB; else SNAPSHOT_MEM_THRESHOLD")

    def accounting(self) -> AccountingRules:
        """Gaps, slack, exclusions."""
        return self._settings().accounting()

    def documents(self) -> DocumentRules:
        """Thresholds of the documents."""
        return self._settings().documents()

    def live(self) -> LiveRules:
        """How far back the live path reaches."""
        return self._settings().live()

    def proof_seconds(self) -> float:
        """How many seconds a run may spend on the proof."""
        return self._settings().proof_seconds

    def _settings(self) -> Settings:
        return _settings(
            max_gap=self.max_gap,
            cpu_threshold=self.cpu_threshold,
            mem_threshold=self.mem_threshold,
        )


def settings_now(source: SourceResource, rules: RulesResource) -> SettingsNow:
    """The settings that the figures of a host-day depend on."""
    return SettingsNow(source.described(), rules.accounting(), rules.documents())


def environment_resources() -> dict[str, dg.ConfigurableResource]:
    """The resources by the names that assets and checks use, all from the environment."""
    return {
        "source": SourceResource(),
        "lake": LakeResource(),
        "redis": RedisResource(),
        "rules": RulesResource(),
    }
