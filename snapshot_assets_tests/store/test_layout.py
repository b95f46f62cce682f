"""Names and versions that the docs repeat are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from snapshot_assets.store.layout import COMPLETE
from snapshot_assets.store.packing.buckets import BUCKET_VERSION
from snapshot_assets.store.packing.days import DAY_VERSION
from snapshot_assets.store.packing.summaries import SUMMARY_VERSION

ROOT = Path(__file__).parent.parent.parent


def test_the_mark_of_a_filled_redis_is_the_same_in_code_and_docs() -> None:
    found = {
        page.relative_to(ROOT).as_posix(): set(re.findall(r"\bcomplete:\d+", page.read_text()))
        for page in sorted((ROOT / "docs").rglob("*.md"))
    }
    naming = {page: marks for page, marks in found.items() if marks}
    assert "docs/documents.md" in naming
    assert set.union(*naming.values()) == {COMPLETE}, naming


def test_docs_name_the_version_of_each_layout_that_is_written() -> None:
    page = (ROOT / "docs" / "frames.md").read_text()
    versions: dict[str, list[int]] = {}
    for name, version in re.findall(r"^\| (\w+) \| (\d+) \|", page, re.M):
        versions.setdefault(name, []).append(int(version))
    assert {name: max(all_of_it) for name, all_of_it in versions.items()} == {
        "bucket": BUCKET_VERSION,
        "day": DAY_VERSION,
        "summary": SUMMARY_VERSION,
    }
