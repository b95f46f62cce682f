"""The password file of two users."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshot_assets_tests.dashboard.http.application import (
    PASSWORD,
    quick_line,
)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "passwords"
    path.write_text(f"# who may look\n\n{quick_line('ana', PASSWORD)}\n{quick_line('ben', 'b')}\n")
    return path
