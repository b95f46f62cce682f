"""The wheel, installed as its users install it: what it brings, what works, what is named missing.

Packages come from where this machine's uv and pip are set up to look, in the locked versions.
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path

import pytest

import snapshot_assets
from snapshot_assets.cli import COMMANDS
from snapshot_assets.errors import EXTRAS, MissingExtraError, require_extra
from snapshot_assets.pipeline.redis_writer import RedisWriter
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.servers import Redis
from snapshot_assets_tests.support.snapshots import (
    FIRST,
    LAST,
    NOW,
    WINDOW,
    exact,
    used,
    worked_example,
)

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# What the reader must not bring along.
NOT_BARE = {"dagster", "dash", "sqlalchemy", "pandera", "flask", "connectorx", "psutil", "fsspec"}
_BUILD = "from setuptools import build_meta; print(build_meta.build_wheel({folder!r}))"

Install = Callable[[str], "Installed"]


class Installed:
    """The wheel in an environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def python(self, script: str, **environment: str) -> str:
        """What the script prints, run in an empty folder."""
        done = self.run("python", "-c", script, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(
        self, program: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the environment's programs in an empty folder."""
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=elsewhere,
            env={**os.environ, "COLUMNS": "160", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def packages(self) -> set[str]:
        """Names of what is installed."""
        found: list[str] = json.loads(
            self.python(
                "import importlib.metadata as m, json;"
                "print(json.dumps([d.metadata['Name'].lower() for d in m.distributions()]))"
            )
        )
        return set(found)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that no earlier build leaves anything in it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(
        ROOT / "snapshot_assets",
        source / "snapshot_assets",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    script = _BUILD.format(folder=str(source / "dist"))
    subprocess.run([sys.executable, "-c", script], cwd=source, check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Puts the wheel with extras, as ``[all]`` or nothing, into a fresh environment."""
    uv = shutil.which("uv") or str(Path(sysconfig.get_path("scripts")) / "uv")

    def installed(extras: str) -> Installed:
        folder = tmp_path_factory.mktemp("environment") / "venv"
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        command = [
            *(uv, "pip", "install", "--quiet", "--python", str(folder / "bin" / "python")),
            *("--constraint", str(ROOT / "requirements" / "all.txt"), f"{wheel}{extras}"),
        ]
        # uv's cache usually has what .venv was made of. Under a shifted clock uv would take the
        # cache for outdated, and the certificates of servers for expired.
        cached = subprocess.run([*command, "--offline"], capture_output=True, check=False)
        if cached.returncode:
            subprocess.run(command, check=True)
        return Installed(folder)

    return installed


@pytest.fixture(scope="module")
def bare(install: Install) -> Installed:
    """Without any extra."""
    return install("")


@pytest.fixture
def filled_redis(redis_server: Redis) -> Redis:
    """The contract's worked example is in it."""
    with RedisWriter(port=redis_server.port, clock=lambda: NOW) as writer:
        writer.replace(["alice"], WINDOW, used(*worked_example()), "settled")
    return redis_server


def test_the_bare_package_reads_documents_and_frames(bare: Installed, filled_redis: Redis) -> None:
    script = f"""
import datetime as dt, json
from snapshot_assets import RedisReader
first, last = (dt.datetime.fromisoformat(t) for t in {[FIRST.isoformat(), LAST.isoformat()]})
with RedisReader(port={filled_redis.port}, clock=lambda: {NOW}) as reader:
    documents = reader.get_data("alice", first, last)
    frame = reader.get_frame(None, first, last, by="username")
    columns = {{name: frame[name].astype(object).tolist() for name in frame}}
print(json.dumps([documents, columns], default=str))
"""
    with RedisReader(port=filled_redis.port, clock=lambda: NOW) as reader:
        documents = reader.get_data("alice", FIRST, LAST)
        columns = exact(reader.get_frame(None, FIRST, LAST, by="username"))
    assert documents
    assert json.loads(bare.python(script)) == json.loads(
        json.dumps([documents, columns], default=str)
    )


def test_the_bare_package_brings_the_reader_alone(bare: Installed) -> None:
    packages = bare.packages()
    assert "snapshot-assets" in packages
    assert "redis" in packages
    assert not packages & NOT_BARE
    assert not any(name.startswith(("dagster", "dash", "mysql")) for name in packages)


def test_the_bare_command_line_reads_and_names_the_extra_of_other_commands(
    bare: Installed, filled_redis: Redis
) -> None:
    span = ["--start", FIRST.isoformat(), "--end", LAST.isoformat()]
    read = bare.run(
        *("snapshot-assets", "read", "alice", "--json", *span),
        SNAPSHOT_REDIS_URL=filled_redis.url(),
    )
    assert read.returncode == 0, read.stderr
    assert len(json.loads(read.stdout)) == 2
    listed = bare.run("snapshot-assets", "--help")
    assert listed.returncode == 0, listed.stderr
    for command, extra in COMMANDS.items():
        (shown,) = re.findall(rf"^  {command} +(.+)$", listed.stdout, re.M)
        assert ("needs the extra" in shown) == bool(extra)
        assert not extra or extra in shown
    for command, *options in (["demo", "--once"], ["settle", "--help"], ["dashboard"]):
        done = bare.run("snapshot-assets", command, *options)
        assert done.returncode == 1
        assert done.stderr == (
            f"snapshot-assets: 'snapshot-assets {command}' needs the extra {COMMANDS[command]}: "
            f"pip install 'snapshot-assets[{COMMANDS[command]}]'\n"
        )


def test_a_class_whose_extra_is_missing_says_which(bare: Installed) -> None:
    told = bare.python("""
try:
    from snapshot_assets import RedisWriter
except ImportError as error:
    print(error)
""")
    assert told.strip() == (
        "RedisWriter needs the extra pipeline: pip install 'snapshot-assets[pipeline]'"
    )


def test_the_reader_loads_pandas_only_for_a_frame(bare: Installed, filled_redis: Redis) -> None:
    script = f"""
import datetime as dt, sys
from snapshot_assets import RedisReader
assert not {{"pandas", "click", "pydantic"}} & set(sys.modules), "at import"
with RedisReader(port={filled_redis.port}, clock=lambda: {NOW}) as reader:
    assert reader.get_data("alice")
    assert "pandas" not in sys.modules, "for documents"
    reader.get_frame("alice")
    assert "pandas" in sys.modules
"""
    bare.python(script)


def test_the_wheel_has_its_types_its_files_and_its_version(bare: Installed) -> None:
    found = json.loads(
        bare.python("""
import importlib.metadata as metadata, json, snapshot_assets
from importlib.resources import files
package = files("snapshot_assets")
names = [f"{folder}/{file.name}" for folder in ("dashboard/assets", "deploy", ".")
         for file in package.joinpath(folder).iterdir()]
print(json.dumps([snapshot_assets.__version__, metadata.version("snapshot-assets"), names]))
""")
    )
    assert found[:2] == [PROJECT["version"]] * 2
    ours = Path(snapshot_assets.__file__).parent
    expected = {
        f"{folder}/{file.name}"
        for folder in ("dashboard/assets", "deploy", ".")
        for file in (ours / folder).iterdir()
    }
    assert "./py.typed" in found[2]
    assert {name for name in expected if "__pycache__" not in name} <= set(found[2])
    assert not any("tests" in name for name in found[2])


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("extra", "module", "other"),
    [
        ("pipeline", "snapshot_assets.definitions", {"dash", "waitress"}),
        ("dashboard", "snapshot_assets.cli.dashboard", {"dagster", "sqlalchemy", "connectorx"}),
    ],
)
def test_an_extra_brings_what_its_part_imports_and_nothing_of_the_other(
    install: Install, extra: str, module: str, other: set[str]
) -> None:
    installed = install(f"[{extra}]")
    assert not installed.packages() & other
    commands = [command for command, needed in COMMANDS.items() if needed == extra]
    assert commands
    installed.python(f"""
import click, importlib
from snapshot_assets.cli import cli
importlib.import_module({module!r})
for name in {commands}:
    command = cli.get_command(click.Context(cli), name)
    assert "needs the extra" not in command.get_short_help_str(), name
""")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_demo_runs_from_the_wheel_in_an_empty_folder(install: Install) -> None:
    done = install("[all]").run("snapshot-assets", "demo", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Settled 42 host-days, 11 checks passed" in done.stdout
    mean_cores = _column(done.stdout, "Busiest hosts", 2)
    assert mean_cores.keys() >= {"alice", "carol"}
    assert all(cores > 0 for cores in mean_cores.values())
    core_hours = _column(done.stdout, "Busiest users", 1)
    assert len(core_hours) > 3
    assert list(core_hours.values()) == sorted(core_hours.values(), reverse=True)


def _column(printed: str, title: str, column: int) -> dict[str, float]:
    """First column of a printed table → another one, of numbers."""
    lines = iter(printed.partition(title)[2].splitlines())
    assert any("───" in line for line in lines), f"{title} has a header"
    rows = [line.split() for line in takewhile(str.strip, lines)]
    return {row[0]: float(row[column].replace(",", "")) for row in rows}


# --- metadata, from the sources ------------------------------------------------------------------


def _third_party() -> dict[str, list[str]]:
    """Top-level module that is neither ours nor Python's → the files that import it."""
    found: dict[str, list[str]] = {}
    package = Path(snapshot_assets.__file__).parent
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            for name in {name.partition(".")[0] for name in names}:
                if name not in sys.stdlib_module_names and name != "snapshot_assets":
                    found.setdefault(name, []).append(str(file.relative_to(package)))
    return found


def _named(requirements: Iterable[str]) -> set[str]:
    """The distributions that requirements name, or that have these names."""
    return {re.split(r"[\[=<>;]", text)[0].lower().replace("_", "-") for text in requirements}


def test_every_imported_package_is_a_dependency_of_the_bare_package_or_of_an_extra() -> None:
    extras = PROJECT["optional-dependencies"]
    declared = _named(
        [*PROJECT["dependencies"], *(text for part in extras.values() for text in part)]
    )
    declared.add("werkzeug")  # Flask's own, and released with it
    distributions = importlib.metadata.packages_distributions()
    for module, files in _third_party().items():
        assert _named(distributions[module]) & declared, f"{module}, imported in {files}"


def test_the_modules_that_stand_for_an_extra_are_of_its_packages() -> None:
    distributions = importlib.metadata.packages_distributions()
    extras = PROJECT["optional-dependencies"]
    bare = _named(PROJECT["dependencies"])
    for extra, modules in EXTRAS.items():
        brought = {*_named(extras[extra]), "flask-compress"}  # by dash[compress]
        if "snapshot-assets" in brought:
            brought |= _named([*extras["pipeline"], *extras["dashboard"]])
        for module in modules:
            assert _named(distributions[module]) & brought, f"{module} of {extra}"
            assert not _named(distributions[module]) & bare
        require_extra(extra, "a test")


def test_an_extra_of_which_one_module_is_missing_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(EXTRAS, "dashboard", ("dash", "no_such_module"))
    with pytest.raises(MissingExtraError, match=r"^pages needs the extra dashboard: pip install"):
        require_extra("dashboard", "pages")


def test_the_version_is_written_in_one_place() -> None:
    version: str = PROJECT["version"]
    assert version == snapshot_assets.__version__
    # Fixtures and benchmarks may speak of versions; code of the package does not.
    for file in Path(snapshot_assets.__file__).parent.rglob("*.py"):
        assert f'"{version}"' not in file.read_text(), file
