"""The fixed days of these tests never expire, as in the tests of the store."""

from snapshot_assets_tests.store.conftest import examples_never_expire

__all__ = ["examples_never_expire"]
