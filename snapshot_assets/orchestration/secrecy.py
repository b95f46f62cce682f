"""Texts and errors of other programs, without the passwords that are in the settings.

The package's own errors hold no password, see :mod:`snapshot_assets.urls`. This module is for what
the package does not expect: an error of a driver that nobody has seen yet, a traceback, a log line.
Nothing here imports Dagster, as every command uses this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from snapshot_assets.errors import SnapshotAssetsError
from snapshot_assets.settings import Settings
from snapshot_assets.urls import masked, secrets_of


def without_secrets(text: str, settings: Settings, *urls: str | None) -> str:
    """The text with ``***`` in place of passwords, parts of passwords, and the webhook's URL.

    Args:
        text: any text.
        settings: the settings that hold the passwords.
        urls: further URLs that hold passwords.
    """
    hook = settings.webhook_url.get_secret_value() if settings.webhook_url else ""
    if hook:
        text = text.replace(hook, "***")  # its path may be a token
    return masked(
        text,
        secrets_of(
            settings.source_url.get_secret_value(),
            settings.redis_url.get_secret_value(),
            settings.ui_url,
            hook,
            *urls,
        )
        | secrets_of(settings.lake, users=True),
    )


@contextmanager
def no_secrets_in_errors(settings: Settings) -> Iterator[None]:
    """A block whose errors hold no password; Dagster stores errors with all their causes.

    Raises:
        SnapshotAssetsError: in place of an error of another program that holds a password.
    """
    try:
        yield
    except SnapshotAssetsError:
        raise
    except Exception as error:  # a password may be in the text of any error
        texts = [f"{type(one).__name__}: {one}" for one in _chain(error)]
        if [without_secrets(text, settings) for text in texts] == texts:
            raise
        raise SnapshotAssetsError(without_secrets(texts[0], settings)) from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it was raised from."""
    below: BaseException | None = error
    seen: set[int] = set()
    while below is not None and id(below) not in seen:
        seen.add(id(below))
        yield below
        below = below.__cause__ or (None if below.__suppress_context__ else below.__context__)
