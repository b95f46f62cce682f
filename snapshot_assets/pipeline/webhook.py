"""A message to a webhook, and texts without secrets.

What is reported when is decided in :mod:`snapshot_assets.orchestration.notify`.
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
        RuntimeError: the webhook does not accept it. The URL, which may hold a token, is not in it.
    """
    # At DEBUG it logs paths and queries, where a token is.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
    try:
        # A redirect makes a POST a GET, which nobody would read. The answer's body is not awaited.
        with requests.post(
            url, json=message, timeout=_TIMEOUT_SECONDS, allow_redirects=False, stream=True
        ) as answer:
            code = answer.status_code
    except (requests.ConnectionError, requests.Timeout) as error:
        raise RuntimeError(f"the webhook{_at(url)} cannot be reached: {_reason(error)}") from None
    except (requests.RequestException, OSError, ValueError) as error:
        # What these say may hold the whole URL.
        problem = f"{type(error).__name__}; is SNAPSHOT_WEBHOOK_URL right?"
        raise RuntimeError(f"the webhook{_at(url)} cannot be used: {problem}") from None
    if not 200 <= code < 300:
        raise RuntimeError(f"the webhook{_at(url)} answers {code}")


def without_secrets(text: str, *, urls: Iterable[str], secrets: Iterable[str] = ()) -> str:
    """The text with ``***`` in place of secrets.

    Our own errors never hold a password; those of other programs might.

    Args:
        text: any.
        urls: whose passwords are secrets, as they are and as they are written in URLs.
        secrets: what else is.
    """
    hidden = set(secrets)
    for url in urls:
        for password in _passwords(url):
            hidden |= {password, unquote(password), quote(password, safe="")}
    for secret in sorted(hidden - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _reason(error: requests.RequestException) -> str:
    """What the system says of it. What is wrapped around that holds the path, and so the token."""
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
    """Every password that one of our parsers sees in the URL; none of a text that is no URL."""
    found: set[str] = set()
    with suppress(ValueError, sa.exc.ArgumentError):
        found.add(str(sa.make_url(url).password or ""))
    with suppress(ValueError):
        options: dict[str, Any] = parse_url(url)
        found.add(str(options.get("password") or ""))
    with suppress(ValueError):
        found.add(urlsplit(url).password or "")
    return found
