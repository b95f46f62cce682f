"""Documents as text and as dictionaries: one and the same."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from snapshot_assets.domain.documents import SETTLED_ENDING, documents, parsed_documents
from snapshot_assets.domain.measures import GROUPINGS, Resolution
from snapshot_assets.domain.summary import averaged, summarise
from snapshot_assets.domain.usage import Usage
from snapshot_assets_tests.support.domain.usages import usages


@given(usages())
def test_the_dictionaries_say_what_the_texts_say_in_the_same_order(usage: Usage) -> None:
    texts = [json.loads(body) for body in documents(usage)["body"]]
    found = parsed_documents(usage)
    assert found == texts
    assert [json.dumps(document) for document in found] == [json.dumps(text) for text in texts]


@given(usages(), st.sampled_from(["hour", "day"]))
def test_means_have_the_resolution_instead_of_counts(usage: Usage, resolution: Resolution) -> None:
    means = averaged("alice", summarise(usage, resolution, groupings=GROUPINGS[:1]))
    for document in parsed_documents(means, resolution):
        assert list(document["meta"]) == ["coverage", "stage", "resolution"]
        assert document["meta"]["resolution"] == resolution


@given(usages())
def test_settled_documents_alone_end_as_the_live_refresh_looks_for(usage: Usage) -> None:
    ends = [body.endswith(SETTLED_ENDING.encode()) for body in documents(usage)["body"]]
    assert ends == usage.settled.tolist()
