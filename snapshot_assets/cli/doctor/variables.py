"""Checks of the settings: wrong values, misspelt names, files that are missing, malformed URLs."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from snapshot_assets.cli.doctor.finding import Check, Finding
from snapshot_assets.settings import PREFIX, Settings
from snapshot_assets.urls import UnreadableUrlError, split_url

# A name that is so similar to one of ours is meant to be ours.
_SIMILAR = 0.9
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=", re.MULTILINE)


def setting_checks(settings: Settings, problems: list[str]) -> list[Check]:
    """The checks.

    Args:
        settings: with the default in place of each wrong value.
        problems: a line for each wrong value.
    """
    return [
        lambda: (Finding("error", "settings", line) for line in problems),
        _misspelt,
        partial(_capacity, settings),
        partial(_dashboard, settings),
        partial(_web_addresses, settings),
    ]


def _misspelt() -> Iterator[Finding]:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name in sorted({*os.environ, *_names_in(Path(".env"))}):
        upper = name.upper()
        if upper in known:
            continue
        if upper.startswith(PREFIX):
            similar = difflib.get_close_matches(upper, known, 1, 0.0)
            yield Finding(
                "warning",
                "settings",
                f"{name} is set, but there is no such setting, so it does nothing",
                f"rename it if {similar[0]} is meant, or remove it",
            )
        elif similar := difflib.get_close_matches(upper, known, 1, _SIMILAR):
            yield Finding(
                "warning",
                "settings",
                f"{name} is set, but settings begin with {PREFIX}, so it does nothing",
                f"rename it to {similar[0]}, or remove it if it is another program's",
            )


def _names_in(file: Path) -> list[str]:
    """The names that a file of settings sets; none if there is no such file."""
    try:
        return _ASSIGNMENT.findall(file.read_text(errors="replace"))
    except OSError:
        return []


def _capacity(settings: Settings) -> Iterator[Finding]:
    file = settings.capacity_file
    if file is not None:
        sizes = settings.capacities()
        yield Finding("ok", "settings", f"{file} has the sizes of {len(sizes)} machines")


def _dashboard(settings: Settings) -> Iterator[Finding]:
    settings.dashboard()
    file = settings.dashboard_password_file
    if file is not None and not file.is_file():
        yield Finding(
            "error",
            "settings",
            "SNAPSHOT_DASHBOARD_PASSWORD_FILE names a file that does not exist",
            "write it with 'snapshot-assets dashboard-password NAME', or name another",
        )


def _web_addresses(settings: Settings) -> Iterator[Finding]:
    hook = settings.webhook_url.get_secret_value() if settings.webhook_url else None
    for name, url in (("WEBHOOK_URL", hook), ("UI_URL", settings.ui_url)):
        if url is None:
            continue
        variable, example = f"{PREFIX}{name}", "https://host/path"
        try:
            split = split_url(url, variable, example)
        except UnreadableUrlError as error:
            # Paths of webhooks may hold an @, which is no end of a login.
            if "@" not in url:
                yield Finding("error", "settings", str(error))
            continue
        if split.scheme.lower() not in ("http", "https") or not split.hosts:
            yield Finding("error", "settings", f"{variable} is no web address", f"write {example}")
