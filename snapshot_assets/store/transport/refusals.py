"""From redis-py's errors to messages that say what to do. No connection belongs here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from redis import exceptions as errors
from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.sentinel import MasterNotFoundError

from snapshot_assets.errors import StoreError, StoreOutageError
from snapshot_assets.urls import masked

# Errors of a cluster that lacks a node or that is changing.
_CLUSTER_DOWN = (
    errors.RedisClusterException,
    errors.ClusterDownError,
    errors.ClusterError,
    errors.TryAgainError,
    errors.MasterDownError,
)


@contextmanager
def explained(address: str, secrets: Collection[str] = ()) -> Iterator[None]:
    """Turn redis-py's errors into errors of this package.

    Args:
        address: address of the server, without user and password.
        secrets: what must not be shown. Servers repeat the arguments of commands that they do not
            know, and a login is a command.

    Raises:
        StoreOutageError: the server does not answer.
        StoreError: the server rejects the connection or a command.
    """
    try:
        yield
    except (errors.AuthenticationError, errors.AuthorizationError) as error:
        raise StoreError(
            f"Redis at {address} rejects the user or the password; set both in "
            f"SNAPSHOT_REDIS_URL ({masked(str(error), secrets)})"
        ) from None
    except errors.BusyLoadingError as error:
        raise StoreOutageError(
            f"Redis at {address} is still loading its data ({masked(str(error), secrets)})"
        ) from None
    except (MasterNotFoundError, AsyncMasterNotFoundError) as error:
        # redis-py's own message contains a page of object representations.
        whether = "do not all answer" if " : " in str(error) else "know no primary of that name"
        raise StoreOutageError(
            f"Redis at {address} cannot be found: the Sentinels {whether}; are the Sentinels and "
            "the primary up, and is the service's name in SNAPSHOT_REDIS_URL right?"
        ) from None
    except (errors.ConnectionError, errors.TimeoutError, OSError, *_CLUSTER_DOWN) as error:
        raise StoreOutageError(
            f"Redis at {address} does not answer; is it up, and is SNAPSHOT_REDIS_URL "
            f"right? ({masked(str(error), secrets)})"
        ) from None
    except errors.RedisError as error:
        reason = masked(_hint(error), secrets)
        raise StoreError(f"Redis at {address} rejects the request: {reason}") from None


def refusal(error: errors.ResponseError, command: str, key: str) -> errors.ResponseError:
    """The same error, with the rejected command and its key added to the message."""
    return type(error)(f"{error}: {command} {key}")


_HINTS: tuple[tuple[type[errors.RedisError], str], ...] = (
    (errors.ReadOnlyError, "it is a read-only replica; point SNAPSHOT_REDIS_URL at the primary"),
    (errors.OutOfMemoryError, "it is out of memory; raise maxmemory or shorten the retention"),
    (
        errors.NoPermissionError,
        "the user may not do this; see 'Redis users' in docs/operations.md",
    ),
)


def _hint(error: errors.RedisError) -> str:
    text = str(error)
    for kind, hint in _HINTS:
        if isinstance(error, kind):
            return f"{hint} ({text})"
    if "WRONGTYPE" in text:
        reason, _, about = text.rpartition(": ")
        key = about.partition(" ")[2]
        return (
            f"key {key!r} holds another type than it should; another program uses the same keys, "
            f"so set SNAPSHOT_KEY_PREFIX ({reason})"
        )
    return text
