"""The nodes of the Redis Cluster: which one holds a slot, and one shared connection to each.

Commands go to each node directly, to several at once, and a node that is away costs its own commands alone. After an
error the map of slots is read again, as long as that brings anything new.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from random import Random
from typing import Final, cast

from app.core.clock import Clock, SystemClock
from app.core.errors import BusyError, TransientError
from app.observability.metrics import READ_SECONDS
from storage.redis.connection import Command, Outcome
from storage.redis.node import RETRY_S, Address, RedisNode
from storage.redis.script import RedisScript
from storage.redis.security import NONE, RedisSecurity
from storage.redis.shared_connect import SharedAttempt

_SLOTS: Final = 16_384
_SCANNED: Final = 1_000  # keys that one SCAN looks at, during which the node does nothing else
_SCANNED_AT_A_PLACE: Final = 50
_TAKEN_AT_A_PLACE: Final = 8  # of what matches there, since neighbours may share their fate
_PLACES: Final = 16  # that are looked at, beside one for each four names that are wanted

_Range = tuple[int, int, Address]
_Sent = tuple[RedisNode, list[int], asyncio.Future[Outcome] | TransientError]


class RedisNodes:
    """Bounded in time, connections and backlog. Raises TransientError alone.

    A call takes `timeout_s` at most, and 0.2 ms for each command that waits; reading the map and connecting, where
    they are needed, are bounded likewise.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        *,
        timeout_s: float,
        clock: Clock | None = None,
        security: RedisSecurity = NONE,
    ) -> None:
        self.security = security
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._scripts: list[RedisScript] = []
        self._nodes: dict[Address, RedisNode] = {}
        self._seeds = [self._node(_address(seed)) for seed in seeds]
        self._by_slot: list[RedisNode | None] = [None] * _SLOTS
        self._is_stale = True
        self._nothing_new_at = float("-inf")  # when the map was last read in vain
        self.map_version = 0  # changes when slots move
        self._refresh = SharedAttempt(self._read_map)

    def register(self, *scripts: RedisScript) -> None:
        """Have scripts loaded on every connection that is made from now on."""
        self._scripts.extend(scripts)

    def _node(self, address: Address) -> RedisNode:
        if address not in self._nodes:
            self._nodes[address] = RedisNode(
                address, self._scripts, self._clock, timeout_s=self._timeout_s, security=self.security
            )
        return self._nodes[address]

    async def _read_map(self) -> None:
        """Ask all nodes at once and take the first answer, so that a hanging one costs nothing."""
        asked = [asyncio.create_task(_ranges(node)) for node in self._nodes.values()]
        version = self.map_version
        try:
            for answer in asyncio.as_completed(asked):
                if ranges := await answer:
                    self._adopt(ranges)
                    return
        finally:
            for task in asked:
                task.cancel()
            if version == self.map_version:
                self._nothing_new_at = self._clock.monotonic()
        raise TransientError("No node of the Redis Cluster answers.")

    def _adopt(self, ranges: Sequence[_Range]) -> None:
        by_slot: list[RedisNode | None] = [None] * _SLOTS
        for start, end, address in ranges:
            by_slot[start : end + 1] = [self._node(address)] * (end + 1 - start)
        if by_slot != self._by_slot:
            self.map_version += 1
        self._by_slot = by_slot
        self._is_stale = False
        kept = {*self._seeds, *self._primaries()}
        for node in [node for node in self._nodes.values() if node not in kept]:
            self._nodes.pop(node.address).close()

    def _primaries(self) -> list[RedisNode]:
        return [node for node in dict.fromkeys(self._by_slot) if node is not None]

    async def _look_at_map(self) -> None:
        """Read the map where it may be old; while a node is away that is known to be in vain."""
        if self._is_stale and self._clock.monotonic() >= self._nothing_new_at + RETRY_S:
            with contextlib.suppress(TransientError):  # the map that is known may do
                await self._refresh.wait()

    async def run(self, commands: Sequence[tuple[int, Command]]) -> list[object]:
        """Send (slot, command) pairs, one batch for each node, all nodes at once; replies in order.

        Raises where any node fails, though what others were sent is done. An error as the reply to one command is a
        failure of its node.
        """
        replies = await self._ask(commands, minding_breakers=False)
        for reply in replies:
            if isinstance(reply, TransientError):
                raise reply
        return replies

    async def run_each(
        self, commands: Sequence[tuple[int, Command]], *, is_urgent: bool = False
    ) -> list[object]:
        """As `run`, but a node that fails fails its own commands alone: their replies are TransientErrors.

        A node that failed several times in a row is left alone for a moment, and what it has no room for is refused;
        neither holds for what `is_urgent`.
        """
        if not commands:
            return []
        started = asyncio.get_running_loop().time()
        replies = await self._ask(commands, minding_breakers=not is_urgent, is_urgent=is_urgent)
        READ_SECONDS.observe(asyncio.get_running_loop().time() - started, "redis")
        return replies

    @property
    def used(self) -> bool:
        """False while a node is left alone since it failed."""
        return all(node.breaker.closed for node in self._primaries())

    async def _ask(
        self, commands: Sequence[tuple[int, Command]], *, minding_breakers: bool, is_urgent: bool = False
    ) -> list[object]:
        if self._is_stale:
            await self._look_at_map()
        replies: list[object] = [None] * len(commands)
        sent: list[_Sent] = []
        away: list[tuple[RedisNode, list[int], list[Command]]] = []
        for node, (indexes, batch) in self._batches(commands, replies).items():
            if minding_breakers and not node.breaker.allow():
                _place(replies, indexes, TransientError("Redis failed a moment ago."))
            elif node.is_connected:
                sent.append((node, indexes, node.send(batch, is_urgent=is_urgent)))
            else:
                away.append((node, indexes, batch))
        if away:
            begun_late = await asyncio.gather(
                *(_sent_when_connected(node, batch, is_urgent=is_urgent) for node, _, batch in away)
            )
            sent += [(node, indexes, late) for (node, indexes, _), late in zip(away, begun_late, strict=True)]
        for node, indexes, begun in sent:
            outcome = begun if isinstance(begun, TransientError) else await begun
            _place(replies, indexes, outcome)
            if isinstance(outcome, TransientError) and not isinstance(outcome, BusyError):
                self._is_stale = True
            if minding_breakers:
                node.note(outcome)
        return replies

    def _batches(
        self, commands: Sequence[tuple[int, Command]], replies: list[object]
    ) -> dict[RedisNode, tuple[list[int], list[Command]]]:
        """The commands of each node, with their places in the run; the replies to those that have none."""
        by_slot = self._by_slot
        batches: dict[RedisNode, tuple[list[int], list[Command]]] = {}
        for index, (slot, command) in enumerate(commands):
            node = by_slot[slot]
            if node is None:
                self._is_stale = True
                replies[index] = TransientError("A slot of the Redis Cluster has no node.")
                continue
            batch = batches.get(node)
            if batch is None:
                batch = batches[node] = ([], [])
            batch[0].append(index)
            batch[1].append(command)
        return batches

    async def owners(self, slots: Sequence[int]) -> dict[Address, list[int]]:
        """For each node the indexes of the slots that it holds."""
        await self._look_at_map()
        owned: dict[Address, list[int]] = {}
        for index, slot in enumerate(slots):
            node = self._by_slot[slot]
            if node is None:
                self._is_stale = True
                raise TransientError("A slot of the Redis Cluster has no node.")
            owned.setdefault(node.address, []).append(index)
        return owned

    async def ping(self) -> int:
        """How many nodes hold slots; each of them has just answered."""
        await self._refresh.wait()
        nodes = self._primaries()
        await asyncio.gather(*(node.ask([("PING",)]) for node in nodes))
        return len(nodes)

    async def ask_each(self, commands: Sequence[Command]) -> dict[str, list[object]]:
        """The replies of each node that holds slots, by its address."""
        await self._refresh.wait()
        nodes = self._primaries()
        replies = await asyncio.gather(*(node.ask(commands) for node in nodes))
        return {":".join(map(str, node.address)): told for node, told in zip(nodes, replies, strict=True)}

    async def unlink_matching(self, pattern: str) -> None:
        """Remove every key whose name matches a glob pattern and that is there all the while; not bounded in time.

        Nothing is removed where a node does not answer, since whoever tries again would empty the others each time.
        """
        await self.ping()
        for node in self._primaries():
            cursor = b"0"
            while True:
                cursor, names = await _scan(node, cursor, pattern, _SCANNED)
                if names:
                    await node.ask([("UNLINK", name) for name in names])
                if cursor == b"0":
                    break

    async def sample(self, pattern: str, count: int, *, slots: Sequence[int], random: Random) -> list[bytes]:
        """Up to `count` names, by chance, that match a glob pattern; `slots` are those that they lie in.

        Bounded in steps, so that few may be found where most keys do not match; all of them are where there are few
        keys at all.
        """
        await self._refresh.wait()
        nodes = self._primaries()
        steps = _PLACES + count // 4
        found: dict[bytes, None] = {}
        for _ in range(steps):
            if len(found) >= count:
                break
            cursor = _any_cursor(slots, random)
            _, names = await _scan(random.choice(nodes), cursor, pattern, _SCANNED_AT_A_PLACE)
            found.update(dict.fromkeys(random.sample(names, min(_TAKEN_AT_A_PLACE, len(names)))))
        else:
            # Few keys, or few that match: from one place on to the end, and then from the beginning.
            for node in nodes:
                found.update(
                    dict.fromkeys(await _scan_round(node, _any_cursor(slots, random), pattern, steps))
                )
        return random.sample(list(found), min(count, len(found)))

    async def close(self) -> None:
        """Close all connections; what waits fails."""
        self._refresh.cancel()
        for node in self._nodes.values():
            node.close()
        await asyncio.sleep(0)  # the event loop closes the sockets in its next turn


async def _sent_when_connected(
    node: RedisNode, batch: Sequence[Command], *, is_urgent: bool
) -> asyncio.Future[Outcome] | TransientError:
    """Send as soon as this node is connected, whatever the others do."""
    failure = await node.try_connect()
    return failure or node.send(batch, is_urgent=is_urgent)


def _place(replies: list[object], indexes: Sequence[int], outcome: Outcome) -> None:
    """Put the replies of a node, or why there are none, at their places in a run."""
    if isinstance(outcome, TransientError):
        outcome = [outcome] * len(indexes)
    for index, reply in zip(indexes, outcome, strict=True):
        replies[index] = reply


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return host, int(port)


async def _scan(node: RedisNode, cursor: bytes, pattern: str, count: int) -> tuple[bytes, list[bytes]]:
    """The next cursor, and what matches among about `count` keys."""
    (reply,) = await node.ask([("SCAN", cursor, "MATCH", pattern, "COUNT", count)])
    following, names = cast("tuple[bytes, list[bytes]]", reply)
    return following, names


def _any_cursor(slots: Sequence[int], random: Random) -> bytes:
    """A place to start from: any number is one.

    Since Redis 7.4 the last 14 bits are a slot, and one without keys stands for the beginning of the next, so half of
    the cursors have one of `slots`; before, these bits are a place as the others are.
    """
    low = random.choice((random.randrange(_SLOTS), random.choice(slots)))
    return b"%d" % (random.getrandbits(32) * _SLOTS + low)


async def _scan_round(node: RedisNode, cursor: bytes, pattern: str, steps: int) -> list[bytes]:
    found: list[bytes] = []
    ends = 0
    for _ in range(steps):
        cursor, names = await _scan(node, cursor, pattern, _SCANNED)
        found += names
        ends += cursor == b"0"
        if ends > 1:
            break
    return found


async def _ranges(node: RedisNode) -> list[_Range]:
    """The slots of every primary as one node knows them; empty where it does not answer."""
    try:
        (reply,) = await node.ask([("CLUSTER", "SLOTS")])
    except TransientError:
        return []
    slots = cast("list[tuple[int, int, tuple[bytes | None, int]]]", reply)
    # A node that does not know its own name says nothing: it is where it was asked.
    return [
        (start, end, ((host or b"").decode() or node.address[0], port))
        for start, end, (host, port, *_), *_ in slots
    ]
