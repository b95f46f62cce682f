"""Dagster's instance, which all commands share: its folder and its settings."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import dagster as dg

from snapshot_assets.errors import SnapshotAssetsError

_DEFAULT_HOME = Path("data/dagster")


def dagster_home() -> Path:
    """The folder of the instance: DAGSTER_HOME, or else ``data/dagster``.

    Makes the folder and copies the package's ``dagster.yaml`` to it. An existing ``dagster.yaml``
    stays as it is.

    Raises:
        SnapshotAssetsError: the folder cannot be written.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or _DEFAULT_HOME).absolute()
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "dagster.yaml").exists():
            text = resources.files("snapshot_assets.deploy").joinpath("dagster.yaml").read_text()
            (home / "dagster.yaml").write_text(text)
    except OSError as error:
        raise SnapshotAssetsError(f"cannot write {home}: {error}; set DAGSTER_HOME") from None
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def dagster_instance() -> dg.DagsterInstance:
    """The instance in :func:`dagster_home`, which ``snapshot-assets ui`` uses, too."""
    dagster_home()
    return dg.DagsterInstance.get()
