"""Who may import whom. Ruff bans single names; here the layers are checked as a whole."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import snapshot_assets

ROOT = Path(snapshot_assets.__file__).parent

FORBIDDEN = {
    "domain": (
        "dagster",
        "redis",
        "sqlalchemy",
        "connectorx",
        "pyarrow",
        "fsspec",
        "os",
        "time",
        "pathlib",
        "snapshot_assets.store",
        "snapshot_assets.settings",
    ),
    "dashboard": (
        "dagster",
        "os",
        "sqlalchemy",
        "snapshot_assets.settings",
        "snapshot_assets.orchestration",
        "snapshot_assets.cli",
        "snapshot_assets.store.redis_writer",
        "snapshot_assets.store.snapshot_writer",
        "snapshot_assets.store.source",
    ),
    "store": (
        "snapshot_assets.dashboard",
        "dagster",
        "os.environ",
        "snapshot_assets.settings",
        "snapshot_assets.orchestration",
    ),
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("layer", sorted(FORBIDDEN))
def test_a_layer_imports_nothing_from_above_or_outside(layer: str) -> None:
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    for path in files:
        for name in _imports(path):
            assert not name.startswith(tuple(f"{banned}." for banned in FORBIDDEN[layer])), path
            assert name not in FORBIDDEN[layer], f"{path} imports {name}"
