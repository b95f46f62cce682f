"""The old address of :class:`RedisReader`, for one release."""

from warnings import warn

from snapshot_assets.store.reading.reader import RedisReader

__all__ = ["RedisReader"]

warn(
    "snapshot_assets.store.redis_reader goes with version 0.3; "
    "write 'from snapshot_assets import RedisReader'",
    DeprecationWarning,
    stacklevel=2,
)
