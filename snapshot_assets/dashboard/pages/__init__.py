"""One module for each page: its layout, its texts, and its one callback.

:mod:`snapshot_assets.dashboard.pages.page` holds what the pages share. Reading belongs to
:mod:`~snapshot_assets.dashboard.queries`, charts belong to
:mod:`~snapshot_assets.dashboard.figures`.
"""
