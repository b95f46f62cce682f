"""Dagster: partitions, resources, assets, checks. One file per noun of Dagster's.

Thin adapters over the store and the domain: which partition, what to call, what to tell. No
arithmetic on frames, no SQL and no Redis command belongs here.
"""
