"""What pages need to know: one module for each question to the reader.

The answers are plain numbers. Nothing here draws or words anything; that is the work of
:mod:`~snapshot_assets.dashboard.figures` and of the pages.
"""
