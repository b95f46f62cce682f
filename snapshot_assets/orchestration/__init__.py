"""Dagster: partitions, resources, assets, checks, jobs, schedules, sensors, and their metadata.

Thin adapters over the use cases of :mod:`snapshot_assets.pipeline`: which partition, what to call,
what to record. No arithmetic on frames, no SQL and no Redis command belongs here. The checks are in
checks.py (settled days) and review.py (what happens now); the sensors are in sensors.py (what heals
by itself) and notify.py (failed runs are reported).
"""
