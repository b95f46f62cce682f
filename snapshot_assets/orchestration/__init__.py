"""Dagster: partitions, resources, assets, checks, jobs, schedules, sensors, and their metadata.

The modules are thin adapters over the use cases of :mod:`snapshot_assets.pipeline`: which
partition, what to call, what to record. No arithmetic on tables, no SQL and no Redis command
belongs here. The checks are in checks/. The sensors are in sensors.py (repairs) and notify.py
(reports of failed runs).
"""
