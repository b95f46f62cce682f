"""A message to a webhook, and texts without secrets.

:mod:`snapshot_assets.orchestration.notify` decides what is reported, and when.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import requests
import sqlalchemy as sa
from redis.connection import parse_url

_TIMEOUT_SECONDS = 10


def post(url: str, message: dict[str, Any]) -> None:
    """Send the message as JSON.

    Raises:
        RuntimeError: the webhook does not accept the message. The error's text leaves out the URL,
            which may hold a token.
    """
    # At DEBUG, urllib3 logs paths and queries, which may hold a token.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    try:
        # A redirect would turn the POST into a GET without the message. The answer's body is not
        # read.
        with requests.post(
            url, json=message, timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            code = answer.status_code
    except (requests.ConnectionError, requests.Timeout) as error:
        raise RuntimeError(f"the webhook{_at(url)} cannot be reached: {_reason(error)}") from None
    except (requests.RequestException, OSError, ValueError) as error:
        # The text of these errors may hold the whole URL.
        problem = f"{type(error).__name__}; is SNAPSHOT_WEBHOOK_URL right?"
        raise RuntimeError(f"the webhook{_at(url)} cannot be used: {problem}") from None
    if not 200 <= code < 300:
        raise RuntimeError(f"the webhook{_at(url)} answers {code}")


def without_secrets(text: str, *, urls: Iterable[str], secrets: Iterable[str] = ()) -> str:
    """The text with ``***`` in place of secrets.

    The package's own errors never hold a password. Errors of other programs might.

    Args:
        text: any text.
        urls: URLs whose passwords are secrets, both plain and percent-encoded.
        secrets: further secrets.
    """
    hidden = set(secrets)
    for url in urls:
        for password in _passwords(url):
            hidden |= {password, unquote(password), quote(password, safe="")}
    for secret in sorted(hidden - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _reason(error: requests.RequestException) -> str:
    """The operating system's message. The errors around it hold the path, and so the token."""
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and not isinstance(below, requests.RequestException):
            return str(below)
        below = below.__cause__ or below.__context__
    return type(error).__name__


def _at(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return f" at {host}" if host else ""


def _passwords(url: str) -> set[str]:
    """Every password that any of the three parsers finds; nothing if the text is not a URL."""
    found: set[str] = set()
    with suppress(ValueError, sa.exc.ArgumentError):
        found.add(str(sa.make_url(url).password or ""))
    with suppress(ValueError):
        options: dict[str, Any] = parse_url(url)
        found.add(str(options.get("password") or ""))
    with suppress(ValueError):
        found.add(urlsplit(url).password or "")
    return found
