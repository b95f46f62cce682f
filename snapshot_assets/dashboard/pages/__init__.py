"""One module for each page: its layout, what it says, and its one callback.

What is common to them is in :mod:`snapshot_assets.dashboard.pages.page`. Questions to the store
belong into :mod:`~snapshot_assets.dashboard.queries`, charts into
:mod:`~snapshot_assets.dashboard.figures`.
"""
