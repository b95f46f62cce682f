"""Commands over redis-py's connections: packed at once, sent together, answered in order.

redis-py makes an object for each command and its answer; for thousands of small ones that costs
more than Redis. Here they are packed and taken from its connections directly: over one connection,
or over one to each node of a cluster. Patience is kept here too, so that it is bounded whatever
fails, and nowhere else: redis-py's own retries are off. What is asked is the business of others.
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

# What a later try may be spared. A wrong password is a ConnectionError to redis-py.
_OUTAGES = (errors.ConnectionError, errors.TimeoutError, OSError, errors.RedisClusterException)
_REFUSALS = (errors.AuthenticationError, errors.AuthorizationError)
# Answers of a cluster that is changing: ask again, perhaps elsewhere.
_CHANGING = (errors.AskError, errors.TryAgainError, errors.ClusterDownError)
_MOST_DETOURS = 6
_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_ANSWERS_PER_DEADLINE = 64


@dataclass(frozen=True, slots=True)
class Batch:
    """Commands that are sent together.

    Attributes:
        packed: all of them as they go over the wire.
        count: how many.
        commands: each with the key that decides which node of a cluster gets it; only asked there.
    """

    packed: bytes
    count: int
    commands: Callable[[], list[tuple[str, Command]]]

    @classmethod
    def of(cls, commands: Sequence[Command]) -> Batch:
        """Commands on a key each."""
        packed = b"".join([pack(command) for command in commands])
        return cls(
            packed, len(commands), lambda: [(key_of(command), command) for command in commands]
        )


def key_of(command: Command) -> str:
    """The key of a command: its first argument, or behind a script and the number of its keys."""
    return str(command[3] if command[0] == "EVAL" else command[1])


def pack(command: Command) -> bytes:
    """A command and its arguments as they go over the wire."""
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        text = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


def exchange(client: redis.Redis | RedisCluster, batch: Batch, patience: Patience) -> list[Any]:
    """Send commands together; their answers in order, a ResponseError where one was refused.

    After an outage all are sent again, so they must be such that this is harmless.

    Raises:
        redis.RedisError, OSError: no answer, also not after retries.
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
        # Half-read answers must not be taken for those of whoever gets the connection next.
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
    """To each node what it has, following the cluster where it is changing."""
    manager: Any = client.nodes_manager
    node_at: Any = client.get_node
    commands = batch.commands()
    found: list[Any] = [None] * len(commands)
    left: list[tuple[int, Any]] = [(i, None) for i in range(len(commands))]
    for detour in range(_MOST_DETOURS):
        if detour > 1:
            time.sleep(patience.longest_pause_seconds / _MOST_DETOURS)
        of_node: dict[tuple[Any, bool], list[int]] = {}
        for i, asked_at in left:
            node = asked_at or manager.get_node_from_slot(client.keyslot(commands[i][0]))
            of_node.setdefault((node, asked_at is not None), []).append(i)
        left = []
        for (node, asking), chosen in of_node.items():
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
        return  # the next try tells


async def exchange_async(
    client: redis.asyncio.Redis | AsyncRedisCluster,
    batch: Batch,
    patience: Patience,
) -> list[Any]:
    """The same for asyncio."""
    # redis-py asks a cluster's nodes one after the other; all tries share the time of one.
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
        # One deadline that moves on with the answers: redis-py's own, around each answer, costs
        # more than reading it.
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
        if isinstance(error, TimeoutError):  # asyncio's, which says nothing
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
