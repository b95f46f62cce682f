"""The fixed days of these tests never expire; a writer and a reader at their time."""

from snapshot_assets_tests.support.fixtures import examples_never_expire, reader, writer

__all__ = ["examples_never_expire", "reader", "writer"]
