"""The errors that a person is meant to read.

Every message names the culprit and the fix. The command line prints them without a traceback, and
the assets decide by their class whether trying again can help. Programming errors do not belong
here: they keep their traceback. Here, too: the message that an extra is not installed.
"""

from importlib.util import find_spec

_PIPELINE = ("connectorx", "dagster", "fsspec", "pandera", "psutil", "requests", "sqlalchemy")
_DASHBOARD = ("dash", "dash_ag_grid", "flask", "flask_compress", "prometheus_client", "waitress")
# The modules by which an extra is known to be installed; pyproject.toml has all that it brings.
EXTRAS = {
    "pipeline": _PIPELINE,
    "dashboard": _DASHBOARD,
    "demo": (*_PIPELINE, *_DASHBOARD),  # its own Redis only where the machine has none
}


class SnapshotAssetsError(Exception):
    """Something that the operator can put right; trying again unchanged will not help."""


class OutageError(SnapshotAssetsError):
    """A server that did not answer: the same call may well work later, so it is retried."""


class MissingExtraError(SnapshotAssetsError, ImportError):
    """A part of the package whose extra is not installed; the message names the extra."""


def require_extra(extra: str, what: str) -> None:
    """Go on only if an extra of the package is installed; none of its modules is imported.

    Args:
        extra: a key of :data:`EXTRAS`.
        what: the class or command that needs it, for the message.

    Raises:
        MissingExtraError: it is not, or not whole.
    """
    if any(find_spec(module) is None for module in EXTRAS[extra]):
        raise MissingExtraError(
            f"{what} needs the extra {extra}: pip install 'snapshot-assets[{extra}]'"
        )


class SettingsError(SnapshotAssetsError):
    """A setting that cannot be used; the message names the environment variable."""


class SourceError(SnapshotAssetsError):
    """The source table cannot be read as configured: table, column, type or password."""


class SourceOutageError(SourceError, OutageError):
    """The source database did not answer."""


class StoreError(SnapshotAssetsError):
    """Redis answered, but refused: wrong password, wrong type, read-only, out of memory."""


class StoreOutageError(StoreError, OutageError):
    """Redis did not answer."""


class LakeError(SnapshotAssetsError):
    """A Parquet file of the lake is missing or is not what it should be."""
