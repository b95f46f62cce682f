"""The report of a failed run: its content, which holds no secret, and its way to the webhook."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from snapshot_assets.cli.leash import free_port
from snapshot_assets.domain.host_day import HostDay
from snapshot_assets.orchestration.notify import failure_message, failure_sensor
from snapshot_assets.orchestration.partitions import Box, dagster_key
from snapshot_assets.pipeline.webhook import post
from snapshot_assets.settings import Settings
from snapshot_assets_tests.support.field_table import DAY
from snapshot_assets_tests.support.pipelines import QUIET
from snapshot_assets_tests.support.webhook import Webhook

SOURCE_PASSWORD, SOURCE_PASSWORD_IN_URL = "p@ss:/w#rd", "p%40ss%3A%2Fw%23rd"
REDIS_PASSWORD, REDIS_PASSWORD_IN_URL = "r&d1s pw", "r%26d1s%20pw"
SECRETS = (SOURCE_PASSWORD, SOURCE_PASSWORD_IN_URL, REDIS_PASSWORD, REDIS_PASSWORD_IN_URL)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.close()


def site_settings(**others: Any) -> Settings:
    return Settings.load(
        source_url=f"mysql://reader:{SOURCE_PASSWORD_IN_URL}@db/monitoring",
        redis_url=f"rediss://:{REDIS_PASSWORD_IN_URL}@cache:6379/0",
        **others,
    )


def failed_run(**others: Any) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="settle", run_id="0f1e", **others)


# --- the message ---------------------------------------------------------------------------------


def test_a_message_says_which_run_failed_why_and_where_to_look() -> None:
    first, last = HostDay(DAY, "alice"), HostDay(DAY, "web|01")
    run = failed_run(
        tags=Box(DAY, DAY, (first.host, last.host)).tags,
        asset_selection=frozenset(
            {dg.AssetKey("redis_snapshots"), dg.AssetKey("five_minute_aggregates")}
        ),
    )
    message = failure_message(
        run, ["settled: web|01 is bad", "and so on"], site_settings(ui_url="https://ui.example/d/")
    )
    assert message.pop("text").splitlines() == [
        "Run of settle failed",
        "assets: five_minute_aggregates, redis_snapshots",
        f"partitions: {dagster_key(first)} to {dagster_key(last)}",
        "settled: web|01 is bad",
        "and so on",
        "https://ui.example/d/runs/0f1e",
    ]
    assert message == {
        "job": "settle",
        "run_id": "0f1e",
        "assets": ["five_minute_aggregates", "redis_snapshots"],
        "partitions": f"{dagster_key(first)} to {dagster_key(last)}",
        "error": "settled: web|01 is bad\nand so on",
        "link": "https://ui.example/d/runs/0f1e",
    }
    json.dumps(message)


def test_a_single_partition_is_no_range_and_a_run_without_any_says_nothing_of_them() -> None:
    key = dagster_key(HostDay(DAY, "alice"))
    for tags in ({"dagster/partition": key}, Box(DAY, DAY, ("alice",)).tags):
        assert failure_message(failed_run(tags=tags), ["x"], site_settings())["partitions"] == key
    message = failure_message(failed_run(), ["x"], site_settings())
    assert (message["assets"], message["partitions"]) == ([], "")
    assert message["text"].splitlines() == [
        "Run of settle failed",
        "x",
        "http://127.0.0.1:3000/runs/0f1e",
    ]


def test_long_errors_are_cut() -> None:
    message = failure_message(failed_run(), ["begin " + "x" * 100_000 + " end"], site_settings())
    assert len(message["error"]) == 2_000
    assert message["error"].startswith("begin x")
    assert len(message["text"]) < 2_200


def test_a_report_holds_no_secret() -> None:
    hook = "https://hooks.example/services/s3cret?token=t0ken"
    settings = site_settings(webhook_url=hook)
    errors = [f"cannot use {secret}, sorry" for secret in (*SECRETS, hook)]
    message = failure_message(failed_run(), errors, settings)
    assert message["error"].splitlines() == ["cannot use ***, sorry"] * 5
    everything = json.dumps(message, ensure_ascii=False)
    for secret in (*SECRETS, hook, "s3cret", "t0ken"):
        assert secret not in everything


@pytest.mark.parametrize(
    ("urls", "secret"),
    [
        ({"source_url": "mysql://reader:p/w#rd@db/m"}, "p/w#rd"),
        ({"source_url": "mysql://reader:p[w]d@db/m"}, "p[w]d"),
        ({"redis_url": "redis://host/0?password=geheim"}, "geheim"),
        ({"redis_url": "redis://:p%2Fw@host/0"}, "p/w"),
        ({"redis_url": "unix://:geheim@/run/redis.sock"}, "geheim"),
        ({"source_url": "no url: secret", "redis_url": "http://[", "webhook_url": "x:y"}, ""),
    ],
)
def test_passwords_are_found_as_their_drivers_read_them(urls: dict[str, Any], secret: str) -> None:
    run = dg.DagsterRun(job_name="live")
    message = failure_message(run, [f"cannot log in with {secret}!"], Settings.load(**urls))
    assert "cannot log in with" in message["error"]
    if secret:
        assert secret not in json.dumps(message)


def test_a_secret_where_the_message_is_cut_does_not_begin_to_show() -> None:
    for start in range(2_000 - len(SOURCE_PASSWORD), 2_001):
        error = "x" * start + SOURCE_PASSWORD
        message = failure_message(failed_run(), [error], site_settings())["error"]
        assert set(message) <= set("x*")


def test_without_passwords_nothing_is_replaced() -> None:
    settings = Settings.load(source_url="sqlite:///data/p.db", redis_url="redis://localhost/0")
    assert failure_message(failed_run(), ["as it is"], settings)["error"] == "as it is"


# --- the webhook ---------------------------------------------------------------------------------


def test_the_webhook_gets_json(webhook: Webhook) -> None:
    message = {"text": "Zoë 😀\n|", "assets": ["a"]}
    post(webhook.url, message)
    assert webhook.received == [("/services/s3cret?token=t0ken", "application/json", message)]


def test_nothing_logs_the_token(webhook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        post(webhook.url, {})
    for secret in ("s3cret", "t0ken"):
        assert secret not in caplog.text


# A redirected POST arrives as a GET, without the message.
@pytest.mark.parametrize("answer", [302, 307, 400, 404, 500])
def test_a_refusal_names_the_host_and_no_token(webhook: Webhook, answer: int) -> None:
    webhook.answer = answer
    with pytest.raises(RuntimeError, match=rf"127\.0\.0\.1 answers {answer}") as error:
        post(webhook.url, {})
    assert_no_token(error.value)
    assert len(webhook.received) == 1


def test_a_webhook_that_is_down_is_named_without_its_token() -> None:
    with pytest.raises(RuntimeError, match=r"127\.0\.0\.1 cannot be reached: .*refused$") as error:
        post(f"http://127.0.0.1:{free_port()}/services/s3cret?token=t0ken", {})
    assert_no_token(error.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_webhook_that_never_answers_is_named_without_its_token(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshot_assets.pipeline.webhook._TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/services/s3cret?token=t0ken"
        with pytest.raises(RuntimeError, match=r"127\.0\.0\.1 cannot be reached: .*timed") as error:
            post(url, {})
    assert_no_token(error.value)


def test_a_webhook_that_hangs_up_is_named_without_its_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/services/s3cret?token=t0ken"
        hangs_up = threading.Thread(target=lambda: server.accept()[0].close())
        hangs_up.start()
        with pytest.raises(
            RuntimeError, match=r"127\.0\.0\.1 cannot be reached: .*(reset|closed)"
        ) as error:
            post(url, {})
        hangs_up.join()
    assert_no_token(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "hooks.example/services/s3cret?token=t0ken",
        "//hooks.example/services/s3cret?token=t0ken",
        "nonsense://hooks.example/services/s3cret?token=t0ken",
        "http://127.0.0.1:1/services/s3cret t0ken",
        "http://127.0.0.1:s3cret/t0ken",
    ],
)
def test_a_webhook_url_that_is_none_shows_no_token_either(url: str) -> None:
    with pytest.raises(RuntimeError) as error:
        post(url, {})
    assert_no_token(error.value)


def assert_no_token(error: BaseException) -> None:
    shown = f"{error!r} {error.__cause__!r}"
    assert error.__suppress_context__ or error.__context__ is None
    for secret in ("s3cret", "t0ken", "services"):
        assert secret not in shown


# --- the sensor ----------------------------------------------------------------------------------


def test_the_sensor_tells_the_cause_of_a_failed_run(
    webhook: Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def breaks() -> None:
        try:
            raise ValueError(f"no way in with {SOURCE_PASSWORD}")
        except ValueError as error:
            raise RuntimeError("wrapped") from error

    @dg.op
    def gives_up() -> None:
        raise dg.Failure("two of three are bad")

    @dg.job
    def doomed() -> None:
        breaks()
        gives_up()

    monkeypatch.setenv("SNAPSHOT_SOURCE_URL", f"mysql://u:{SOURCE_PASSWORD_IN_URL}@db/monitoring")
    monkeypatch.setenv("SNAPSHOT_WEBHOOK_URL", webhook.url)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = doomed.execute_in_process(
            instance=instance, run_config=QUIET, raise_on_error=False
        )
        context = dg.build_run_status_sensor_context(
            sensor_name="tell_failures",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        failure_sensor(Settings.load())(context)
    ((_, _, message),) = webhook.received
    assert message["job"] == "doomed"
    assert message["run_id"] == result.run_id
    assert sorted(message["error"].splitlines()) == [
        "breaks: ValueError: no way in with ***",
        "gives_up: two of three are bad",
    ]
    assert message["link"].endswith(f"/runs/{result.run_id}")
