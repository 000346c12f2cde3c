"""The nodes of the Redis Cluster: which one holds a slot, and one client for each.

Pipelines go to each node directly, several at once; redis-py's cluster client would take a key apart for each
command. After an error the map of slots is read again.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.errors import TransientError

Command = tuple[bytes | str | int, ...]

_PER_COMMAND_S: Final = 0.0002  # a pipeline of thousands takes this process itself a while


class RedisNodes:
    """Bounded in time and connections. Raises TransientError alone."""

    def __init__(self, seeds: Sequence[str], *, timeout_s: float, max_connections: int = 32) -> None:
        self._seeds = [self._address(seed) for seed in seeds]
        self._timeout_s = timeout_s
        self._max_connections = max_connections
        self._clients: dict[tuple[str, int], Redis] = {}
        self._gates: dict[tuple[str, int], asyncio.Semaphore] = {}
        self._ranges: list[tuple[int, int, tuple[str, int]]] = []
        self._stale = True

    @staticmethod
    def _address(text: str) -> tuple[str, int]:
        host, _, port = text.rpartition(":")
        return host, int(port)

    def _client(self, address: tuple[str, int]) -> Redis:
        if address not in self._clients:
            self._gates[address] = asyncio.Semaphore(self._max_connections)
            self._clients[address] = Redis(
                host=address[0],
                port=address[1],
                socket_timeout=self._timeout_s,
                socket_connect_timeout=self._timeout_s,
                max_connections=self._max_connections + 4,
            )
        return self._clients[address]

    async def _refresh(self) -> None:
        """Read the map of slots, from all nodes at once, so that hanging ones cost one time limit together."""
        known = list(dict.fromkeys([*self._seeds, *self._clients]))
        for address, ranges in zip(known, await asyncio.gather(*map(self._slots, known)), strict=True):
            if ranges is not None:
                self._ranges = [(s, e, (host or address[0], port)) for s, e, (host, port) in ranges]
                self._stale = False
                return
        raise TransientError("No node of the Redis Cluster answers.")

    async def _slots(self, address: tuple[str, int]) -> list[tuple[int, int, tuple[str, int]]] | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._client(address).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError):
            return None
        return [(int(s), int(e), (_text(node[0]), int(node[1]))) for s, e, node, *_ in reply] or None

    def address_of(self, slot: int) -> tuple[str, int]:
        """The node that holds a slot. Raises TransientError where none does."""
        for start, end, address in self._ranges:
            if start <= slot <= end:
                return address
        raise TransientError("A slot of the Redis Cluster has no node.")

    async def run(self, commands: Sequence[tuple[int, Command]]) -> list[object]:
        """Send (slot, command) pairs, one pipeline for each node, all nodes at once; replies in order."""
        if self._stale:
            await self._refresh()
        by_node: dict[tuple[str, int], list[int]] = {}
        for index, (slot, _) in enumerate(commands):
            by_node.setdefault(self.address_of(slot), []).append(index)
        replies: list[object] = [None] * len(commands)
        try:
            async with asyncio.timeout(self._timeout_s + _PER_COMMAND_S * len(commands)):
                if len(by_node) == 1:
                    (address, indexes) = next(iter(by_node.items()))
                    await self._send(address, indexes, commands, replies)
                else:
                    await asyncio.gather(
                        *(self._send(node, indexes, commands, replies) for node, indexes in by_node.items())
                    )
        except (RedisError, OSError, TimeoutError) as error:
            self._stale = True
            raise TransientError(f"Redis failed: {type(error).__name__}.") from error
        return replies

    async def _send(
        self,
        address: tuple[str, int],
        indexes: Sequence[int],
        commands: Sequence[tuple[int, Command]],
        replies: list[object],
    ) -> None:
        client = self._client(address)
        async with self._gates[address]:
            pipeline = client.pipeline(transaction=False)
            for index in indexes:
                pipeline.execute_command(*commands[index][1])
            for index, reply in zip(indexes, await pipeline.execute(), strict=True):
                replies[index] = reply

    async def primaries(self) -> list[Redis]:
        """Every node that holds slots."""
        await self._refresh()
        addresses = dict.fromkeys(address for _, _, address in self._ranges)
        return [self._client(address) for address in addresses]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value or "")
