"""Commands over redis-py's connections: packed at once, sent together, answered in order.

redis-py makes an object for each command and its answer. For thousands of small commands, that
costs more than Redis itself. This module packs commands and reads answers on redis-py's connections
directly: on one connection, or on one connection to each node of a cluster. Only this module
retries, so the time of all tries is bounded for any failure; redis-py's own retries are off. The
meaning of commands must stay out.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import redis
import redis.asyncio
from redis import exceptions as errors
from redis.asyncio.cluster import RedisCluster as AsyncRedisCluster
from redis.cluster import RedisCluster

from snapshot_assets.store.transport.connections import Patience
from snapshot_assets.store.transport.deadline import deadline, no_whole_answer

# A command and its arguments.
Command: TypeAlias = tuple[str | bytes | int | float, ...]

# A later try may succeed after these errors. For redis-py, a wrong password is a ConnectionError.
_OUTAGES = (errors.ConnectionError, errors.TimeoutError, OSError, errors.RedisClusterException)
_REFUSALS = (errors.AuthenticationError, errors.AuthorizationError)
# Answers of a cluster that is changing: the command is sent again, perhaps to another node.
_CHANGING = (errors.AskError, errors.TryAgainError, errors.ClusterDownError)
_MOST_DETOURS = 6
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_ANSWERS_PER_DEADLINE = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands that are sent together.

    Attributes:
        packed: all commands as bytes for the server.
        count: number of commands.
        commands: returns each command with the key that decides which node of a cluster gets it;
            called only for a cluster.
    """

    packed: bytes
    count: int
    commands: Callable[[], list[tuple[str, Command]]]

    @classmethod
    def of(cls, commands: Sequence[Command]) -> Batch:
        """A batch of commands that have a key each."""
        packed = b"".join([pack(command) for command in commands])
        return cls(
            packed, len(commands), lambda: [(key_of(command), command) for command in commands]
        )


def key_of(command: Command) -> str:
    """The key of a command: its first argument, or the first key of a script."""
    return str(command[3] if command[0] == "EVAL" else command[1])


def pack(command: Command) -> bytes:
    """A command and its arguments as bytes for the server."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        text = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


def exchange(client: redis.Redis | RedisCluster, batch: Batch, patience: Patience) -> list[Any]:
    """Send commands together and return their answers, in order.

    The answer to a command that the server rejects is a ResponseError; it is not raised. After an
    outage all commands are sent again, so repeating a command must be harmless.

    Raises:
        redis.RedisError, OSError: the server does not answer, even after retries, or rejects the
            user or the password.
    """
    for attempt in range(patience.retries + 1):
        if attempt:
            time.sleep(patience.pause_seconds(attempt))
        try:
            if isinstance(client, RedisCluster):
                return _over_nodes(client, batch, patience)
            return _talk(client.connection_pool, batch.packed, batch.count, patience)
        except _REFUSALS:
            raise
        except _OUTAGES:
            if attempt == patience.retries:
                raise
            if isinstance(client, RedisCluster):
                _learn_nodes(client)
    raise AssertionError("unreachable")


def _talk(pool: Any, packed: bytes, count: int, patience: Patience) -> list[Any]:
    connection = pool.get_connection()
    try:
        connection.send_packed_command([packed])
        with deadline(connection, patience.timeout_seconds) as kept:
            found = []
            for i in range(count):
                if i % _ANSWERS_PER_DEADLINE == 0:
                    kept.move()
                found.append(_answer(connection))
            return found
    except BaseException:
        # The next user of this connection must not get the rest of these answers.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except errors.ResponseError as refusal:
        return refusal


def _over_nodes(client: RedisCluster, batch: Batch, patience: Patience) -> list[Any]:
    """Send each command to the node of its key, and follow redirections of a changing cluster."""
    manager: Any = client.nodes_manager
    node_at: Any = client.get_node
    commands = batch.commands()
    found: list[Any] = [None] * len(commands)
    left: list[tuple[int, Any]] = [(i, None) for i in range(len(commands))]
    for detour in range(_MOST_DETOURS):
        if detour > 1:
            time.sleep(patience.longest_pause_seconds / _MOST_DETOURS)
        by_node: dict[tuple[Any, bool], list[int]] = {}
        for i, redirected_to in left:
            node = redirected_to or manager.get_node_from_slot(client.keyslot(commands[i][0]))
            by_node.setdefault((node, redirected_to is not None), []).append(i)
        left = []
        for (node, asking), chosen in by_node.items():
            packed = [pack(commands[i][1]) for i in chosen]
            if asking:
                packed = [_ASKING + command for command in packed]
            pool = node.redis_connection.connection_pool
            answers = _talk(pool, b"".join(packed), len(packed) * (1 + asking), patience)
            for i, answer in zip(chosen, answers[asking :: 1 + asking], strict=True):
                found[i] = answer
                if isinstance(answer, errors.MovedError):
                    manager.move_slot(answer)
                    left.append((i, None))
                elif isinstance(answer, errors.AskError):
                    left.append((i, node_at(host=answer.host, port=answer.port)))
                elif isinstance(answer, _CHANGING):
                    left.append((i, None))
        if not left:
            return found
    raise errors.ConnectionError(f"the cluster keeps changing: {found[left[0][0]]}")


def _learn_nodes(client: RedisCluster) -> None:
    manager: Any = client.nodes_manager
    try:
        manager.initialize()
    except _OUTAGES:
        return  # the next try raises the error if it persists


async def exchange_async(
    client: redis.asyncio.Redis | AsyncRedisCluster,
    batch: Batch,
    patience: Patience,
) -> list[Any]:
    """As :func:`exchange`, for asyncio."""
    # For a cluster, redis-py may try several nodes one after the other. All of that shares one
    # limit, the bound of the patience.
    left = asyncio.get_running_loop().time() + patience.bound_seconds
    for attempt in range(patience.retries + 1):
        if attempt:
            await asyncio.sleep(patience.pause_seconds(attempt))
        try:
            if isinstance(client, AsyncRedisCluster):
                return await _over_nodes_async(client, batch, left)
            return await _talk_async(client.connection_pool, batch, patience)
        except _REFUSALS:
            raise
        except _OUTAGES:  # TimeoutError is an OSError
            if attempt == patience.retries:
                raise
    raise AssertionError("unreachable")


async def _talk_async(pool: Any, batch: Batch, patience: Patience) -> list[Any]:
    connection: Any = None
    loop = asyncio.get_running_loop()
    try:
        # One deadline moves on while answers arrive. redis-py's own timeout for each answer costs
        # more than reading the answer.
        async with asyncio.timeout(patience.timeout_seconds) as deadline:
            connection = await pool.get_connection()
            await connection.send_packed_command(batch.packed)
            found = []
            for i in range(batch.count):
                if i % _ANSWERS_PER_DEADLINE == 0:
                    deadline.reschedule(loop.time() + patience.timeout_seconds)
                try:
                    answer = await connection.read_response(disable_decoding=True, timeout=math.inf)
                except errors.ResponseError as refusal:
                    answer = refusal
                found.append(answer)
            return found
    except BaseException as error:
        if connection is not None:
            await connection.disconnect(nowait=True)
        if isinstance(error, TimeoutError):  # asyncio's error has no message
            raise no_whole_answer(patience.timeout_seconds) from None
        raise
    finally:
        if connection is not None:
            await pool.release(connection)


async def _over_nodes_async(client: AsyncRedisCluster, batch: Batch, until: float) -> list[Any]:
    async with asyncio.timeout_at(until):
        pipeline = client.pipeline(transaction=False)
        for _, command in batch.commands():
            pipeline.execute_command(*command)
        found: list[Any] = await pipeline.execute(raise_on_error=False)
    for answer in found:
        if isinstance(answer, (*_OUTAGES, *_CHANGING)):
            raise answer
    return found
