"""The one place where Dagster's parts are put together. Nothing but assembly belongs here."""

from __future__ import annotations

import dagster as dg

from snapshot_assets.orchestration.assets import settled_assets
from snapshot_assets.orchestration.checks import settled_checks
from snapshot_assets.orchestration.partitions import host_day_partitions
from snapshot_assets.orchestration.resources import environment_resources
from snapshot_assets.settings import Settings


def build_defs(**resources: dg.ConfigurableResource) -> dg.Definitions:
    """All definitions.

    Args:
        resources: instead of those that read the environment, by name: ``source``, ``lake``,
            ``redis``, ``rules``.
    """
    partitions = host_day_partitions(Settings.load().start_date)
    return dg.Definitions(
        assets=settled_assets(partitions),
        asset_checks=settled_checks(),
        resources={**environment_resources(), **resources},
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads, and when it loads it: importing this module reads no setting."""
    return build_defs()
