"""The password file: right, wrong, changed, broken and flooded."""

from __future__ import annotations

import base64
import logging
import os
import threading
import time
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snapshot_assets.dashboard.http.passwords import PasswordFile, password_line
from snapshot_assets.dashboard.options import AccessOptions
from snapshot_assets.errors import SettingsError
from snapshot_assets_tests.dashboard.http.application import (
    PASSWORD,
    application,
    ask,
    basic,
    quick_line,
)
from snapshot_assets_tests.support.world import served


def test_a_password_signs_in(password_file: Path) -> None:
    server = application(AccessOptions(password_file=password_file))
    for _ in range(2):  # looked up, then remembered
        reported = ask(server, Authorization=basic("ana", PASSWORD))
        assert reported == (200, "you are ana")
    for name, password in (
        ("ana", "b"),
        ("ben", PASSWORD),
        ("ana", ""),
        ("", ""),
        ("", PASSWORD),
        ("Ana", PASSWORD),
        ("eve", PASSWORD),
        ("# who may look", ""),
    ):
        assert ask(server, Authorization=basic(name, password))[0] == 401


def test_browsers_get_a_challenge_for_a_password(password_file: Path) -> None:
    server = application(AccessOptions(password_file=password_file))
    answer = server.test_client().get("/whoami")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="snapshot_assets", charset="UTF-8"'
    assert answer.mimetype == "text/plain"


@given(
    sent=st.one_of(
        st.binary().map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
        st.text(st.characters(min_codepoint=32, max_codepoint=126)),
        st.sampled_from(["Basic", "Basic ", "Bearer abc", "Digest username=ana", "basic Og=="]),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_wrong_credentials_of_any_form_are_rejected(password_file: Path, sent: str) -> None:
    server = application(AccessOptions(password_file=password_file))
    assert ask(server, Authorization=sent)[0] == 401


def test_a_changed_file_is_read_again(
    password_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = application(AccessOptions(password_file=password_file))

    def status(name: str, password: str) -> int:
        return ask(server, Authorization=basic(name, password))[0]

    assert status("ana", PASSWORD) == 200
    password_file.write_text(f"{quick_line('ben', 'b')}\n{quick_line('cleo', 'see')}\n")
    assert [status("ana", PASSWORD), status("ben", "b"), status("cleo", "see")] == [401, 200, 200]

    # Another file in its place, of the same size and time.
    before = password_file.stat()
    other = password_file.with_name("other")
    other.write_text(f"{quick_line('ben', 'b')}\n{quick_line('cleo', 'sea')}\n")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(password_file)
    assert password_file.stat().st_size == before.st_size
    assert [status("cleo", "see"), status("cleo", "sea")] == [401, 200]

    password_file.write_text("dora:plain-secret\n")
    assert [status("cleo", "sea"), status("dora", "plain-secret")] == [200, 401]
    password_file.unlink()
    assert [status("cleo", "sea"), status("ben", "b")] == [200, 200]
    password_file.write_text("# nobody any more\n")
    assert status("cleo", "sea") == 401

    reported = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert len(reported) == 2  # each once, not at each request
    assert f"{password_file}, line 1" in reported[0]
    assert "No such file" in reported[1]
    for secret in ("plain-secret", PASSWORD, "see", "sea"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    ("line", "reported"),
    [
        (b"hunter2", "there is no colon"),
        (b":hunter2", "the name is empty"),
        (b" :hunter2", "the name is empty"),
        (b"a\x00b:hunter2", "control character"),
        (b"ana:hunter2", "the text after 'ana' and its colon is not a hash"),
        (b"ana:{SHA}hunter2", "is not a hash"),
        (b"ana:$2y$10$hunter2", "is not a hash"),
        (b"ana:scrypt:32768:8:1$hunter2$zz", "is not a hash"),
        (b"ana:scrypt:3:8:1$hunter2$00", "cannot be computed"),
        (b"ana:scrypt:99999999999999999999:8:1$hunter2$00", "cannot be computed"),
        (b"ana:pbkdf2:rot13:1$hunter2$00", "cannot be computed"),
        (b"ben:" + quick_line("ben", "hunter2").partition(":")[2].encode(), "also in line 2"),
        (b"\xff:hunter2", "not UTF-8"),
    ],
)
def test_a_wrong_line_is_named_with_its_fix(tmp_path: Path, line: bytes, reported: str) -> None:
    path = tmp_path / "passwords"
    path.write_bytes(f"# comment\n{quick_line('ben', 'b')}\n".encode() + line + b"\n")
    with pytest.raises(SettingsError) as raised:
        application(AccessOptions(password_file=path))
    message = str(raised.value)
    assert message.startswith(f"SNAPSHOT_DASHBOARD_PASSWORD_FILE: {path}, line 3: ")
    assert reported in message
    assert message.rpartition("; ")[2]  # the fix
    assert "hunter2" not in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(SettingsError, match=f"{path} cannot be read .*dashboard-password NAME"):
            application(AccessOptions(password_file=path))


def test_files_of_other_systems_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_bytes(b"\xef\xbb\xbf" + f"  {quick_line('ana', 'a')}\r\n\r\n".encode())
    assert PasswordFile(path).verify("ana", "a")


@pytest.mark.parametrize("name", ["", " ana", "a:b", "#ana", "a\nb"])
def test_no_line_is_made_for_a_name_that_cannot_be_read_back(name: str) -> None:
    with pytest.raises(ValueError, match="the name"):
        password_line(name, "x")


def timed(path: PasswordFile, name: str, password: str) -> float:
    started = time.perf_counter()
    path.verify(name, password)
    return time.perf_counter() - started


def test_response_times_reveal_no_user_names(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text(f"{password_line('ana', 'a')}\n{password_line('ben', 'b')}\n")
    passwords = PasswordFile(path)
    first = timed(passwords, "ana", "a")
    remembered = min(timed(passwords, "ana", "a") for _ in range(5))
    wrong = min(timed(passwords, "ana", "x") for _ in range(5))
    unknown = min(timed(passwords, "eve", "x") for _ in range(5))
    assert remembered < first / 10
    assert 1 / 3 < unknown / wrong < 3


def test_a_flood_of_wrong_passwords_leaves_room_for_the_others(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text(f"{password_line('ana', 'a')}\n")
    server = application(AccessOptions(password_file=path))
    over = threading.Event()
    seen: list[int] = []

    with served(server) as port:
        url = f"http://127.0.0.1:{port}/whoami"

        def flood() -> None:
            with requests.Session() as session:
                while not over.is_set():
                    seen.append(session.get(url, auth=("eve", "x"), timeout=30).status_code)

        with requests.Session() as session:
            assert session.get(url, auth=("ana", "a"), timeout=30).text == "you are ana"
            threads = [threading.Thread(target=flood) for _ in range(16)]
            for thread in threads:
                thread.start()
            try:
                while len(seen) < 50:
                    time.sleep(0.01)
                waits = []
                for _ in range(10):
                    started = time.perf_counter()
                    answer = session.get(url, auth=("ana", "a"), timeout=30)
                    waits.append(time.perf_counter() - started)
                    assert answer.text == "you are ana"
            finally:
                over.set()
                for thread in threads:
                    thread.join()
    assert set(seen) == {401, 503}
    assert sorted(waits)[5] < 0.5
