"""The day of the examples is fixed, and Redis drops what is past its expiry by its own clock."""

from __future__ import annotations

import pytest

from snapshot_assets.store.layout import Retention

FOREVER = Retention(*[100 * 366 * 86_400] * 4)


@pytest.fixture(autouse=True)
def examples_never_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers and writers keep all for ever, unless a test says otherwise."""
    monkeypatch.setattr("snapshot_assets.store.client.Retention", lambda: FOREVER)
