"""The old address of :class:`AsyncRedisReader`, for one release."""

from warnings import warn

from snapshot_assets.store.reading.async_reader import AsyncRedisReader

__all__ = ["AsyncRedisReader"]

warn(
    "snapshot_assets.store.async_redis_reader goes with version 0.3; "
    "write 'from snapshot_assets import AsyncRedisReader'",
    DeprecationWarning,
    stacklevel=2,
)
