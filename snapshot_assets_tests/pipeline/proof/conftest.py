"""Fixtures: a settling as the other tests of the pipeline have it, with three hosts settled."""

from __future__ import annotations

import pytest

from snapshot_assets.domain.host_day import HostDay
from snapshot_assets_tests.support.field_table import DAY
from snapshot_assets_tests.support.settlings import Settling

HOSTS = ("alice", "bob", "carol")


@pytest.fixture
def settled(settling: Settling) -> Settling:
    settling.load(*HOSTS)
    settling.run(*(HostDay(DAY, host) for host in HOSTS))
    return settling
