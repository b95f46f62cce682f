"""The pages that people open. Reads through ``RedisReader`` and its frames only, writes nothing.

:mod:`~snapshot_assets.dashboard.app` puts the parts together. What a link says is
:mod:`~snapshot_assets.dashboard.view`'s business, times and zones are
:mod:`~snapshot_assets.dashboard.time_range`'s, what is asked of the reader is
:mod:`~snapshot_assets.dashboard.queries`', and what is drawn is
:mod:`~snapshot_assets.dashboard.figures`': all of these are functions without Dash. Dagster, the
settings and the environment have no place here.
"""
