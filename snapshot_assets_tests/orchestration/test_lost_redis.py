"""A Redis that was emptied or set back: who notices, and what is restored."""

from __future__ import annotations

import pytest

from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets_tests.support.field_table import execute, load
from snapshot_assets_tests.support.pipelines import FAILURE, STARTED, WatchedPipeline, recent, whole


def test_an_empty_redis_beside_an_empty_lake_has_lost_nothing(site: WatchedPipeline) -> None:
    """Nor is it called complete: the lake may not be mounted yet."""
    for _ in range(2):
        assert site.look("redis_lost") == ([], "nothing is settled yet")
        assert site.run("restore_redis").success
        assert not site.complete()


def test_an_emptied_redis_is_restored_and_today_is_published(settled: WatchedPipeline) -> None:
    with settled.reader() as reader:
        documents = reader.get_data("web|01", *whole(settled.day))
        assert len(documents) == 12
        reader.base.client.flushall()
    requests, _ = settled.look("redis_lost")
    assert [request.job_name for request in requests] == ["live", "restore_redis"]
    assert len({request.run_key for request in requests}) == 2
    (restore,) = [request for request in requests if request.job_name == "restore_redis"]
    assert not settled.complete(), "asking is not doing"

    run = settled.record_run("live", STARTED)
    requests, _ = settled.look("redis_lost")
    assert [request.job_name for request in requests] == ["restore_redis"]
    settled.instance.delete_run(run.run_id)

    run = settled.instance.create_run_for_job(
        settled.defs.resolve_job_def("restore_redis"), status=STARTED, tags=dict(restore.tags)
    )
    assert settled.look("redis_lost") == ([], f"run {run.run_id} restores Redis now")
    settled.instance.delete_run(run.run_id)
    settled.instance.create_run_for_job(
        settled.defs.resolve_job_def("restore_redis"), status=FAILURE, tags=dict(restore.tags)
    )
    assert len(settled.look("redis_lost")[0]) == 2, "a restoration that failed is tried again"

    execute(settled.source, "DROP TABLE processes")
    assert settled.run("restore_redis").success
    with settled.reader() as reader:
        assert reader.get_data("web|01", *whole(settled.day)) == documents
    assert settled.look("redis_lost") == ([], "Redis is marked as complete")


@pytest.mark.parametrize("before_the_first_refresh", [False, True])
def test_a_redis_that_was_set_back_is_not_complete(
    site: WatchedPipeline, before_the_first_refresh: bool
) -> None:
    load(site.source, recent("alice"), create=None)
    with RedisWriter(url=site.redis_url) as writer:
        writer.record_complete(True)
    assert site.run("live").success
    with site.reader() as reader:
        if before_the_first_refresh:
            reader.base.client.hdel("snapshot_assets:state", "live_until")
        else:
            assert site.run("live").success
            assert site.complete(), "nothing was set back"
            until = reader.progress().live_until
            assert until is not None
            reader.base.client.hset("snapshot_assets:state", "live_until", repr(until - 3_600))
    assert site.complete()
    assert site.run("live").success
    assert not site.complete()
