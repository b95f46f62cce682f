"""The errors that a person is meant to read, and the check that an extra is installed.

Every message names the cause and the fix. The command line prints these errors without a traceback.
The assets decide by the class of an error whether another try can help. Programming errors do not
belong here, because they keep their traceback.
"""

from importlib.util import find_spec

_PIPELINE = (
    "connectorx",
    "dagster",
    "duckdb",
    "fsspec",
    "pandera",
    "psutil",
    "requests",
    "sqlalchemy",
)
_DASHBOARD = ("dash", "dash_ag_grid", "flask", "flask_compress", "prometheus_client", "waitress")
# An extra counts as installed if these modules are; pyproject.toml lists all its packages.
EXTRAS = {
    "pipeline": _PIPELINE,
    "dashboard": _DASHBOARD,
    "demo": (*_PIPELINE, *_DASHBOARD),  # its Redis is needed only on a machine without Redis
}


class SnapshotAssetsError(Exception):
    """An error that the operator can fix; another try without a fix does not help."""


class OutageError(SnapshotAssetsError):
    """A server did not answer. The same call may work later, so Dagster retries the step."""


class MissingExtraError(SnapshotAssetsError, ImportError):
    """A class or command needs an extra that is not installed; the message names the extra."""


def require_extra(extra: str, needed_by: str) -> None:
    """Raise an error unless an extra of the package is installed. No module is imported.

    Args:
        extra: a key of :data:`EXTRAS`.
        needed_by: the class or command that needs the extra, for the message.

    Raises:
        MissingExtraError: at least one module of the extra is missing.
    """
    if any(find_spec(module) is None for module in EXTRAS[extra]):
        raise MissingExtraError(
            f"{needed_by} needs the extra {extra}: pip install 'snapshot-assets[{extra}]'"
        )


class SettingsError(SnapshotAssetsError):
    """The value of a setting is not usable; the message names the environment variable."""


class SourceError(SnapshotAssetsError):
    """The source table cannot be read as configured: table, column, type or password."""


class SourceOutageError(SourceError, OutageError):
    """The source database did not answer."""


class SnapshotExistsError(SourceError):
    """The source table already has a snapshot of this host and time."""


class StoreError(SnapshotAssetsError):
    """Redis rejects a command or the connection, or holds data that cannot be read.

    For example a wrong password, a key of another type, a read-only replica, or no memory left.
    """


class StoreOutageError(StoreError, OutageError):
    """Redis did not answer."""


class LakeError(SnapshotAssetsError):
    """The lake or a file of the lake cannot be read or written, or a file is missing or damaged."""
