"""The tests of :mod:`snapshot_assets`, laid out as the package is."""
