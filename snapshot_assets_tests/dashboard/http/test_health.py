"""What the dashboard reports while the store is there, gone, back, slow, empty and stale."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import flask
import pytest
from prometheus_client.parser import text_string_to_metric_families

from snapshot_assets.dashboard.http import store_watch
from snapshot_assets.dashboard.http.health import install_health
from snapshot_assets.dashboard.http.metrics import count_store_failure
from snapshot_assets.dashboard.http.store_watch import StoreWatch
from snapshot_assets.dashboard.options import DashboardOptions
from snapshot_assets.domain.time import BUCKET_SECONDS, bucket_start
from snapshot_assets.errors import SettingsError, StoreError, StoreOutageError
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.world import NOW, Clock, World, use

NEWEST = bucket_start(NOW) - BUCKET_SECONDS
PASSWORD = "hunter2-of-redis"


@pytest.fixture
def filled(empty_world: World) -> World:
    """Two hosts in the newest bucket, a third one before; published a minute ago."""
    for host, last in (("alice", NEWEST), ("b|b", NEWEST), ("carol", NEWEST - BUCKET_SECONDS)):
        empty_world.write(host, {last: use({("ana", "python"): 1.0})})
    with RedisWriter(**empty_world.options()) as writer:
        writer.record_live(NOW - 60, {"alice": NOW - 61}, writer.begin_live())
    return empty_world


@contextmanager
def client_of(
    reader: RedisReader, clock: Clock, prefix: str = "/", stale_seconds: float = 900
) -> Iterator[flask.testing.FlaskClient]:
    server = flask.Flask(__name__)
    options = DashboardOptions(url_prefix=prefix, stale_seconds=stale_seconds)
    install_health(server, reader, clock, options)
    with reader, server.test_client() as client:
        yield client


@pytest.fixture
def client(filled: World) -> Iterator[flask.testing.FlaskClient]:
    with client_of(filled.reader(), filled.clock) as found:
        yield found


def reported(client: flask.testing.FlaskClient, path: str) -> tuple[int, Any]:
    """Status and JSON."""
    answer = client.get(path)
    return answer.status_code, answer.json


def forget(client: flask.testing.FlaskClient) -> None:
    """What was known is no longer fresh."""
    time.sleep(store_watch._FRESH_SECONDS)


def samples(client: flask.testing.FlaskClient, path: str = "/metrics") -> dict[Any, float]:
    """Name and labels of what metrics say, to the value."""
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.mimetype == "text/plain"
    return {
        (s.name.removeprefix("snapshot_dashboard_"), *s.labels.values()): s.value
        for family in text_string_to_metric_families(answer.text)
        for s in family.samples
    }


def test_pulse_reports_the_newest_bucket(client: flask.testing.FlaskClient) -> None:
    news = {"newest": NEWEST, "hosts": 2, "live_until": NOW - 60, "now": NOW}
    assert reported(client, "/pulse") == (200, news)


def test_all_is_well(client: flask.testing.FlaskClient) -> None:
    assert reported(client, "/healthz") == (200, {"status": "ok", "newest": NEWEST})
    found = samples(client)
    assert found["redis_up",] == 1
    assert found["newest_bucket_timestamp_seconds",] == NEWEST
    assert found["newest_bucket_hosts",] == 2
    assert found["live_until_timestamp_seconds",] == NOW - 60


def test_everything_is_under_the_prefix(filled: World) -> None:
    with client_of(filled.reader(), filled.clock, "/our/usage/") as client:
        for name in ("healthz", "pulse", "metrics"):
            assert client.get(f"/our/usage/{name}").status_code == 200
            assert client.get(f"/{name}").status_code == 404


def test_old_data_is_stale_though_the_dashboard_is_well(filled: World) -> None:
    with client_of(filled.reader(), filled.clock, stale_seconds=600) as client:
        filled.clock.now = NEWEST + BUCKET_SECONDS + 600
        assert reported(client, "/healthz")[1]["status"] == "ok"
        filled.clock.now += 1
        status, health = reported(client, "/healthz")
        assert (status, health["status"]) == (200, "stale")
        assert "ended 601 s ago" in health["detail"]


def test_hosts_whose_rows_come_late_are_counted_apart_from_silent_ones(filled: World) -> None:
    with RedisWriter(**filled.options()) as writer:
        filling = writer.begin_live()
        writer.record_live(NOW, {"behind": NOW - 46 * 60}, filling, None, NOW - 300)
        writer.record_live(NOW, {"gone": NOW - 46 * 60}, filling)
    with client_of(filled.reader(), filled.clock) as client:
        status, health = reported(client, "/healthz")
        expected = {"status": "ok", "newest": NEWEST, "hosts_late": 1, "hosts_silent": 1}
        assert (status, health) == (200, expected)
        found = samples(client)
        assert (found["hosts_late",], found["hosts_silent",]) == (1, 1)
        assert "behind" not in client.get("/healthz").text, "everybody may read it"


def test_a_replica_that_lags_is_called_late_not_a_live_path_that_does_not_run(
    empty_world: World,
) -> None:
    bucket = bucket_start(NOW - 46 * 60)
    empty_world.write("alice", {bucket: use({("ana", "python"): 1.0})})
    with RedisWriter(**empty_world.options()) as writer:
        writer.record_live(NOW, {"alice": NOW - 46 * 60}, writer.begin_live(), None, NOW - 300)
    with client_of(empty_world.reader(), empty_world.clock) as client:
        status, health = reported(client, "/healthz")
    assert (status, health["status"], health["hosts_late"]) == (200, "stale", 1)
    assert "the rows of 1 hosts come late" in health["detail"]
    assert "live path" not in health["detail"]


def test_an_empty_store_is_no_outage(empty_world: World) -> None:
    with client_of(empty_world.reader(), empty_world.clock) as client:
        status, health = reported(client, "/healthz")
        assert (status, health["status"]) == (200, "empty")
        news = {"newest": None, "hosts": 0, "live_until": None, "now": NOW}
        assert reported(client, "/pulse") == (200, news)
        found = samples(client)
        assert found["redis_up",] == 1
        assert ("newest_bucket_timestamp_seconds",) not in found


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[Redis]:
    """A Redis of its own that may be ended, with a password."""
    with Redis(tmp_path / "redis", password=PASSWORD) as server:
        yield server


def check_outage(client: flask.testing.FlaskClient, status: str = "outage") -> None:
    code, health = reported(client, "/healthz")
    assert (code, health["status"]) == (503, status)
    code, pulse = reported(client, "/pulse")
    assert (code, list(pulse)) == (503, ["error"])
    metrics = client.get("/metrics").text
    assert "snapshot_dashboard_redis_up 0.0" in metrics
    for answer in (str(health), str(pulse), metrics):
        for hidden in (PASSWORD, "Traceback", "127.0.0.1", "File "):
            assert hidden not in answer


def test_redis_lost_and_back(frail: Redis, caplog: pytest.LogCaptureFixture) -> None:
    world = World(frail)
    world.write("alice", {NEWEST: use({})})
    with client_of(world.reader(), world.clock) as client:
        assert reported(client, "/healthz")[1]["status"] == "ok"
        frail.kill(signal.SIGKILL)
        forget(client)
        check_outage(client)
        forget(client)
        check_outage(client)
        found = samples(client)
        assert found["store_failures_total", "outage"] == 2
        assert found["store_failures_total", "refused"] == 0
        assert ("newest_bucket_timestamp_seconds",) not in found
        frail.start()
        world.write("alice", {NEWEST: use({})})
        forget(client)
        assert reported(client, "/pulse")[1]["newest"] == NEWEST
        assert client.get("/healthz").status_code == 200
        assert samples(client)["redis_up",] == 1
    # Once each, not every second.
    logged = [r.getMessage() for r in caplog.records if r.name == store_watch.__name__]
    assert len(logged) == 2
    assert "does not answer" in logged[0]
    assert "answers again" in logged[1]
    assert PASSWORD not in caplog.text


def test_a_wrong_password_of_redis_is_reported_as_a_refusal(frail: Redis) -> None:
    reader = RedisReader(url=frail.url().replace(PASSWORD, f"not-{PASSWORD}"))
    with client_of(reader, Clock()) as client:
        check_outage(client, "refused")
        assert samples(client)["store_failures_total", "refused"] == 1


def test_a_redis_that_is_silent_keeps_one_thread_waiting(frail: Redis) -> None:
    world = World(frail)
    world.write("alice", {NEWEST: use({})})
    failures: list[StoreError] = []
    with world.reader() as reader:
        watch = StoreWatch(reader, failures.append)
        assert not isinstance(watch.latest(), StoreError)
        time.sleep(store_watch._FRESH_SECONDS)
        waits: list[float] = []

        def ask() -> None:
            started = time.monotonic()
            watch.latest()
            waits.append(time.monotonic() - started)

        with frail.paused():
            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sum(wait > 0.5 for wait in waits) == 1
        assert max(waits) < store_watch._OLDEST_SECONDS
        assert [type(error) for error in failures] == [StoreOutageError]


def commands(redis: Redis) -> int:
    with redis.client() as client:
        return int(client.info("stats")["total_commands_processed"])


def test_many_viewers_cost_as_much_as_one(filled: World) -> None:
    with client_of(filled.reader(), filled.clock) as client:
        server = client.application
        client.get("/pulse")

        def poll() -> None:
            own = server.test_client()
            for _ in range(20):
                assert own.get("/pulse").status_code == 200

        forget(client)
        before = commands(filled.redis)
        client.get("/pulse")
        one = commands(filled.redis) - before
        forget(client)
        before, started = commands(filled.redis), time.monotonic()
        threads = [threading.Thread(target=poll) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lasted = time.monotonic() - started
        # 200 questions; a bit more than one a second if the machine is slow.
        assert commands(filled.redis) - before <= one * (
            1 + int(lasted / store_watch._FRESH_SECONDS)
        )


def test_news_are_not_held_back(filled: World) -> None:
    with client_of(filled.reader(), filled.clock) as client:
        assert reported(client, "/pulse")[1]["hosts"] == 2
        filled.write("carol", {NEWEST: use({})})
        forget(client)
        assert reported(client, "/pulse")[1]["hosts"] == 3


def test_installing_asks_nothing_of_redis() -> None:
    server = flask.Flask(__name__)
    with RedisReader(url="redis://127.0.0.1:1") as reader:
        install_health(server, reader, Clock(), DashboardOptions())
        assert reader.base._client is None


def test_requests_are_counted_by_endpoint_and_status(client: flask.testing.FlaskClient) -> None:
    server = client.application

    @server.get("/hosts/<name>")
    def host(name: str) -> str:
        time.sleep(0.02)
        return name

    @server.get("/broken")
    def broken() -> str:
        raise RuntimeError("secret")

    @server.before_request
    def gate() -> flask.Response | None:
        refused = "refuse" in flask.request.args
        return flask.Response("", 401) if refused else None

    for i in range(3):
        client.get(f"/hosts/{i}")
    client.get("/hosts/x?refuse=1")
    for i in range(2):
        client.get(f"/nowhere/{i}")
    answer = client.get("/broken")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    found = samples(client)
    assert found["requests_total", "host", "200"] == 3
    assert found["requests_total", "host", "401"] == 1
    assert found["requests_total", "none", "404"] == 2
    assert found["requests_total", "broken", "500"] == 1
    assert found["request_duration_seconds_count", "host"] == 4
    assert 0.06 <= found["request_duration_seconds_sum", "host"] < 5
    assert (
        "process_start_time_seconds" in {name for name, *_ in found}
        or not Path("/proc/self/stat").exists()
    )


def test_pages_count_what_they_meet(client: flask.testing.FlaskClient) -> None:
    server = client.application
    with server.app_context():
        count_store_failure(StoreOutageError("gone"))
        count_store_failure(StoreError("no"))
        count_store_failure(StoreError("no"))
        count_store_failure(SettingsError("none of the store's"))
    found = samples(client)
    assert found["store_failures_total", "outage"] == 1
    assert found["store_failures_total", "refused"] == 2
    with flask.Flask(__name__).app_context():
        count_store_failure(StoreError("without metrics"))


def test_applications_of_one_process_count_for_themselves(filled: World) -> None:
    with (
        client_of(filled.reader(), filled.clock) as one,
        client_of(filled.reader(), filled.clock) as other,
    ):
        for _ in range(3):
            one.get("/pulse")
        assert samples(one)["requests_total", "pulse", "200"] == 3
        assert ("requests_total", "pulse", "200") not in samples(other)


def test_an_application_can_be_forgotten(filled: World) -> None:
    def install() -> weakref.ref[object]:
        server = flask.Flask(__name__)
        with filled.reader() as reader:
            install_health(server, reader, filled.clock, DashboardOptions())
            server.test_client().get("/metrics")
        return weakref.ref(server.extensions["snapshot_dashboard"])

    left = install()
    gc.collect()
    assert left() is None
