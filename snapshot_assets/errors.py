"""The errors that a person is meant to read.

Every message names the culprit and the fix. The command line prints them without a traceback, and
the assets decide by their class whether trying again can help. Programming errors do not belong
here: they keep their traceback.
"""


class SnapshotAssetsError(Exception):
    """Something that the operator can put right; trying again unchanged will not help."""


class OutageError(SnapshotAssetsError):
    """A server that did not answer: the same call may well work later, so it is retried."""


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
