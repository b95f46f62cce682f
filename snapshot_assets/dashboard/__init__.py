"""The pages that people open. They read through ``RedisReader`` and write nothing.

:mod:`~snapshot_assets.dashboard.app` puts the parts together. A link becomes a view
(:mod:`~snapshot_assets.dashboard.view`, :mod:`~snapshot_assets.dashboard.time`), a view becomes a
question to the reader (:mod:`~snapshot_assets.dashboard.queries`), and its answer becomes a figure
(:mod:`~snapshot_assets.dashboard.figures`): all of these are functions without Dash. The pages
(:mod:`~snapshot_assets.dashboard.pages`) connect them;
:mod:`~snapshot_assets.dashboard.browser` says what the scripts in ``assets/`` read and write. Of
the store the dashboard imports the reading part alone. It imports neither Dagster nor the settings,
and does not read the environment.
"""
