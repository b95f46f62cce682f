"""The command: which checks there are, and how their findings are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache, partial
from time import time

import click
from rich.text import Text

from snapshot_assets.cli.doctor import fleet, stores, table
from snapshot_assets.cli.doctor.finding import Finding, run_checks
from snapshot_assets.cli.doctor.variables import setting_checks
from snapshot_assets.cli.shared import console, open_reader, open_source, printable
from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.orchestration.secrecy import without_secrets
from snapshot_assets.settings import Settings, usable_settings
from snapshot_assets.store.reading.presence import Progress

_STYLE = {"ok": "green", "warning": "yellow", "error": "bold red"}
_FOUND, _OUTAGE = 1, 3


@click.command()
def doctor() -> None:
    """Check everything; report problems and fixes.

    Looks at the settings, the source (table, columns, kinds, indexes, both times), each host by its
    own clock (cadence, lateness, names, memory, what its collector hides or counts twice), Redis,
    the lake, and the settings that made the settled days. Goes on after a finding. Creates and
    changes nothing. Ends with code 3 if a server does not answer, with 1 if there is any other
    finding, with 0 if all is well.
    """
    settings, problems = usable_settings()
    levels, outage = set(), False
    for finding in _all(settings, problems):
        levels.add(finding.level)
        outage |= finding.outage
        text = printable(" ".join(without_secrets(finding.text, settings).splitlines()))
        console.print(
            Text.assemble((f"{finding.level:<8}", _STYLE[finding.level]), f"{finding.subject}: "),
            Text(text),
            soft_wrap=True,
            sep="",
        )
        if finding.fix:
            label = "next" if finding.level == "ok" else "fix"
            console.print(Text(f"        {label}: {printable(finding.fix)}"), soft_wrap=True)
    if outage:
        raise click.exceptions.Exit(_OUTAGE)
    if levels - {"ok"}:
        raise click.exceptions.Exit(_FOUND)


def _all(settings: Settings, problems: list[str]) -> Iterator[Finding]:
    now = time()
    progress: list[Progress] = []
    yield from run_checks("settings", setting_checks(settings, problems))
    reader = None
    with ExitStack() as stack:
        # First, as the checks of the hosts need to know what arrived when; shown after them.
        try:
            reader = stack.enter_context(open_reader(settings))
        except SnapshotAssetsError as error:
            of_redis = [Finding("error", "redis", str(error))]
        else:
            of_redis = list(run_checks("redis", stores.redis_checks(reader, now, progress)))
        try:
            source = stack.enter_context(open_source(settings))
        except SnapshotAssetsError as error:
            yield Finding("error", "source", str(error))
        else:
            known = cache(partial(fleet.Knowledge.of, settings, now, progress))
            checks = [*table.table_checks(source), *fleet.host_checks(source, known)]
            yield from run_checks("source", checks)
        yield from of_redis
        usable = reader if progress and not problems else None
        yield from run_checks("lake", stores.lake_checks(settings, usable))
