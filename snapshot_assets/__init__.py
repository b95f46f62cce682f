"""Process snapshots from MySQL, accounted to 5 minutes with Dagster, served from Redis.

Layers, each importing only those to its right, siblings joined by ``|`` not each other:
``cli | definitions → orchestration → settings → dashboard | pipeline → source | lake | store →
domain → errors | timing | arrow | urls``. Nothing connects, reads settings or looks at the clock at
import. What the package offers is named here and imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from snapshot_assets.errors import require_extra

if TYPE_CHECKING:
    from snapshot_assets.pipeline.redis_writer import RedisWriter
    from snapshot_assets.store.reading.async_reader import AsyncRedisReader
    from snapshot_assets.store.reading.reader import RedisReader
    from snapshot_assets.store.transport.base import RedisBase

    __version__: str

__all__ = ["AsyncRedisReader", "RedisBase", "RedisReader", "RedisWriter", "__version__"]

_MODULES = {
    "AsyncRedisReader": "snapshot_assets.store.reading.async_reader",
    "RedisBase": "snapshot_assets.store.transport.base",
    "RedisReader": "snapshot_assets.store.reading.reader",
    "RedisWriter": "snapshot_assets.pipeline.redis_writer",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("snapshot-assets")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "RedisWriter":
        require_extra("pipeline", name)
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
