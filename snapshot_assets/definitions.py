"""The Dagster definitions, assembled from ``orchestration``. Nothing but assembly belongs here."""

from __future__ import annotations

import dagster as dg

from snapshot_assets.orchestration.assets import settled_assets, source_asset
from snapshot_assets.orchestration.changes import changed_job
from snapshot_assets.orchestration.checks import settled_checks
from snapshot_assets.orchestration.checks.review import review_checks
from snapshot_assets.orchestration.jobs import asset_jobs
from snapshot_assets.orchestration.live import live_assets
from snapshot_assets.orchestration.notify import failure_sensor
from snapshot_assets.orchestration.partitions import host_day_partitions
from snapshot_assets.orchestration.resources import environment_resources
from snapshot_assets.orchestration.schedules import schedules
from snapshot_assets.orchestration.sensors import sensors
from snapshot_assets.orchestration.upkeep import upkeep_jobs
from snapshot_assets.settings import Settings


def build_defs(**resources: dg.ConfigurableResource) -> dg.Definitions:
    """All definitions.

    Args:
        resources: replace the resources that read the environment, by name: ``source``, ``lake``,
            ``redis``, ``rules``.
    """
    settings = Settings.load()
    partitions = host_day_partitions(settings.start_date)
    opened = {**environment_resources(), **resources}
    jobs = [
        *asset_jobs(),
        *upkeep_jobs(settings.history_days, settings.late_days),
        changed_job(settings, opened),
    ]
    return dg.Definitions(
        assets=[source_asset(), *settled_assets(partitions), *live_assets()],
        asset_checks=[*settled_checks(), *review_checks()],
        jobs=jobs,
        schedules=schedules(settings),
        sensors=[*sensors(settings, partitions, jobs), failure_sensor(settings)],
        resources=opened,
        # With a process for each step, each step would start Python and import everything again.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Dagster calls this when it loads the module; the import itself reads no setting."""
    return build_defs()
