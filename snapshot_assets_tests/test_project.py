"""The project's own promises: bootstrap, locks, CI. What the pages promise is in test_docs.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import plotly
import pytest
import yaml

ROOT = Path(__file__).parent.parent


def test_the_locks_pin_every_hash_and_name_no_index() -> None:
    for lock in ("requirements/all.txt", "requirements/dev.txt"):
        text = (ROOT / lock).read_text()
        pinned = re.findall(r"^[a-z0-9._-]+==\S+", text, re.M)
        assert len(pinned) > 50
        assert len(re.findall(r"^[a-z0-9._-]+==[^\n]* \\\n    --hash=sha256:", text, re.M)) == len(
            pinned
        )
        assert "://" not in text
        assert "index-url" not in text


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with a shell's tools and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "rm", "cat"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    return folder


def bootstrap(folder: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(ROOT / "tools" / "bootstrap.sh"), "requirements/all.txt"],
        cwd=folder,
        env={"PATH": str(path), "HOME": os.environ.get("HOME", "/")},
        capture_output=True,
        text=True,
        check=False,
    )


def fake_python(folder: Path, script: str) -> None:
    program = folder / "python3"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_an_old_python_is_told_in_one_line(bare_path: Path, tmp_path: Path) -> None:
    fake_python(bare_path, '[ "$1" = --version ] && echo "Python 3.9.2" && exit 0; exit 1')
    done = bootstrap(tmp_path, bare_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "bootstrap: needs Python 3.11, 3.12 or 3.13 on PATH; found Python 3.9.2"
    ]
    assert not (tmp_path / ".venv").exists()


def test_a_python_without_venv_is_told_in_one_line(bare_path: Path, tmp_path: Path) -> None:
    fake_python(bare_path, 'case "$2" in *ensurepip*) exit 1;; esac; exit 0')
    done = bootstrap(tmp_path, bare_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "bootstrap: this Python has no venv; on Debian or Ubuntu: apt-get install python3-venv"
    ]


def test_plotly_s_small_bundle_is_of_the_version_that_dash_would_load() -> None:
    """Assets: plotly-basic.min.js of the npm package plotly.js-basic-dist-min, see ADR 15."""
    ours = ROOT / "snapshot_assets" / "dashboard" / "assets" / "00-plotly-basic.min.js"
    theirs = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    versions = [
        re.search(r"plotly\.js (?:\(basic - minified\) )?v([0-9.]+)", file.read_text("utf-8")[:400])
        for file in (ours, theirs)
    ]
    assert all(versions)
    assert len({found[1] for found in versions if found}) == 1


# --- CI and pre-commit ----------------------------------------------------------------------------

WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def recipe(target: str) -> list[str]:
    """The commands of a target of the Makefile."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_workflow_obeys_its_schema() -> None:
    """By the schema that check-jsonschema brings along: nothing is downloaded."""
    check = ["check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)]
    done = subprocess.run(
        [sys.executable, "-m", *check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_runs_the_readme_s_commands_on_every_supported_python() -> None:
    jobs: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]
    commands = {
        name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()
    }
    assert commands == {
        "tests": ["make test"],
        "demo": ["make demo ARGS=--once"],
        "nightly": ["make test-long"],
    }
    readme = (ROOT / "README.md").read_text()
    assert all(command in readme for (command,) in commands.values())
    prefix = "Programming Language :: Python :: "
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    supported = [text.removeprefix(prefix) for text in classifiers if text.startswith(prefix)]
    assert jobs["tests"]["strategy"]["matrix"]["python"] == supported
    assert jobs["demo"]["runs-on"].startswith("macos-")


def test_pre_commit_runs_the_linters_of_make_test_and_downloads_nothing() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert {hook["language"] for hook in local["hooks"]} == {"system"}
    linters = [line for line in recipe("test") if re.match(r"\.venv/bin/(ruff|mypy|lint)", line)]
    assert [hook["entry"] for hook in local["hooks"]] == linters


# --- the layer rule -------------------------------------------------------------------------------


def test_the_linter_checks_the_layer_rule_of_the_readme_and_contributing() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    (layers,) = [c for c in tools["importlinter"]["contracts"] if c["type"] == "layers"]
    rule = f"`{' → '.join(layers['layers'])}`"
    for page in ("README.md", "CONTRIBUTING.md"):
        assert rule in (ROOT / page).read_text(), page
    assert any("lint-imports" in command for command in recipe("test"))
