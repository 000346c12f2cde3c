"""The channel over which workers tell each other what to drop from their memory (design, section 5, rule 6).

Each node of the Redis Cluster has a shard channel of ours; a message goes to the node that holds the keys, and every
worker listens to all nodes. Messages carry the sender and a running number for each channel, and a heartbeat repeats
the last one, so a gap is a loss. Where a connection, or one's own heartbeat, is missing for a second, or slots move,
the memory is emptied and bypassed until every channel is heard again.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from app.core.clock import Clock
from app.core.errors import TransientError
from app.core.log_events import LogEvent
from storage.cache.keyspace import CacheKey, Keyspace
from storage.cache.memory import Memory
from storage.redis.cluster import RedisNodes
from storage.redis.node import Address
from storage.redis.subscription import Subscription

logger = logging.getLogger(__name__)

HEARTBEAT_S: Final = 0.25
SILENCE_S: Final = 1.0
_WATCH_S: Final = 0.05
_TURNS: Final = 8  # of the loop, from the clock's wake to the heartbeat's return
_PATIENCE_S: Final = 4.0
_RETRY_S: Final = 0.2
EVERYTHING: Final = "*"


class Message(msgspec.Struct, frozen=True, array_like=True):
    """`keys` None: a heartbeat, whose number is that of the sender's last message; `*`: everything."""

    sender: bytes
    number: int
    keys: list[int | bytes] | Literal["*"] | None


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Message)


class Notifications:
    """Tells and hears."""

    def __init__(
        self, nodes: RedisNodes, keyspace: Keyspace, memory: Memory, clock: Clock, *, timeout_s: float
    ) -> None:
        self._nodes = nodes
        self._keys = keyspace
        self._memory = memory
        self._clock = clock
        self._timeout_s = timeout_s
        self._me = secrets.token_bytes(8)
        self._sent: dict[bytes, int] = {}  # the last number on each channel
        self._numbers: dict[tuple[bytes, bytes], int] = {}  # the last one heard, by channel and sender
        self._beats: dict[bytes, float] = {}  # when one's own heartbeat was last heard, by channel
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen, from now until `close`."""
        self._task = asyncio.create_task(self._listen_for_ever(), name="notifications")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            await asyncio.sleep(0)  # the event loop closes the sockets in its next turn
        self._memory.lose()

    async def publish(self, keys: Sequence[CacheKey]) -> list[CacheKey]:
        """Tell all workers; returns those of the keys whose node did not take it, for the caller to tell them again."""
        by_group: dict[int, list[CacheKey]] = {}
        for key in keys:
            by_group.setdefault(key.group, []).append(key)
        try:
            channels = await self._channels()
        except TransientError:
            return list(keys)
        told: list[tuple[int, list[CacheKey]]] = []
        for leader, groups in channels.values():
            of_node = [key for group in groups for key in by_group.get(group, ())]
            if of_node:
                told.append((leader, of_node))
        failures = await self._send([(leader, [key.local for key in of_node]) for leader, of_node in told])
        return [
            key for (_, of_node), failure in zip(told, failures, strict=True) if failure for key in of_node
        ]

    async def publish_everything(self) -> bool:
        """Tell all workers to drop all they have; true when every node took it."""
        try:
            channels = await self._channels()
        except TransientError:
            return False
        return not any(await self._send([(leader, EVERYTHING) for leader, _ in channels.values()]))

    async def _channels(self) -> Mapping[Address, tuple[int, list[int]]]:
        """For each node the group whose channel is the node's, and all its groups."""
        slots = self._keys.slots
        return {address: (groups[0], groups) for address, groups in (await self._nodes.owners(slots)).items()}

    async def _send(
        self, told: Sequence[tuple[int, list[int | bytes] | Literal["*"] | None]]
    ) -> list[TransientError | None]:
        """Publish on the channels of these groups, whatever breakers say; why each was not taken, in order."""
        commands = []
        for group, keys in told:
            channel = self._keys.channel(group)
            number = self._sent.get(channel, 0) + (keys is not None)
            self._sent[channel] = number
            message = _ENCODER.encode(Message(self._me, number, keys))
            commands.append((self._keys.slots[group], ("SPUBLISH", channel, message)))
        replies = await self._nodes.run_each(commands, is_urgent=True)
        return [reply if isinstance(reply, TransientError) else None for reply in replies]

    async def _listen_for_ever(self) -> None:
        failing = False
        while True:
            try:
                await self._listen()
            except TransientError as error:
                if not failing or self._memory.is_on:
                    logger.warning(
                        "Notifications are lost, so memory is not used for now: %s",
                        error,
                        extra=LogEvent.NOTIFICATIONS_LOST.extra,
                    )
                failing = True
            finally:
                self._memory.lose()
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        """Until a loss, which it raises."""
        prefix = self._keys.prefix
        channels = await self._channels()
        version = self._nodes.map_version
        self._numbers.clear()
        self._beats.clear()
        opened: list[tuple[bytes, Subscription]] = []
        tasks: list[asyncio.Task[None]] = []
        try:
            for address, (leader, _) in channels.items():
                channel = self._keys.channel(leader)
                opened.append(
                    (
                        channel,
                        await Subscription.open(
                            address, channel, timeout_s=self._timeout_s, security=self._nodes.security
                        ),
                    )
                )
            tasks = [
                asyncio.create_task(self._hear(*each), name="notifications of a node") for each in opened
            ]
            tasks.append(asyncio.create_task(self._beat([leader for leader, _ in channels.values()])))
            tasks.append(
                asyncio.create_task(self._watch([channel for channel, _ in opened], version, prefix))
            )
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            for _, subscription in opened:
                subscription.close()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hear(self, channel: bytes, subscription: Subscription) -> None:
        while True:
            self._heard(channel, await subscription.message())

    def _heard(self, channel: bytes, data: bytes) -> None:
        try:
            message = _DECODER.decode(data)
        except msgspec.MsgspecError:
            raise TransientError("A message was not understood.") from None
        seen = self._numbers.get((channel, message.sender))
        self._numbers[channel, message.sender] = message.number
        if message.sender == self._me:
            # What this process did itself its memory was told before.
            if message.keys is None:
                self._beats[channel] = self._clock.monotonic()
            return
        if message.keys == EVERYTHING or (
            seen is not None and message.number != seen + (message.keys is not None)
        ):
            self._memory.forget()
        elif isinstance(message.keys, list):
            self._memory.invalidate(message.keys)

    async def _beat(self, leaders: list[int]) -> None:
        while True:
            for failure in await self._send([(leader, None) for leader in leaders]):
                if failure is not None:
                    raise failure
            await asyncio.sleep(HEARTBEAT_S)

    async def _watch(self, channels: list[bytes], version: int, prefix: str) -> None:
        started = self._clock.monotonic()
        late = 0.0  # the worst turn of the loop lately, beyond what it should take
        while True:
            if self._keys.prefix != prefix:
                raise TransientError("The database has another timeline, whose channels are others.")
            if self._nodes.map_version != version:
                raise TransientError("Slots of the Redis Cluster moved.")
            now = self._clock.monotonic()
            # A process at the end of its strength hears its own heartbeat late: some turns of its loop later. Without
            # memory each turn would take longer still, and it would never come back.
            limit = SILENCE_S + min(_TURNS * late, _PATIENCE_S)
            if any(now - self._beats.get(channel, started) > limit for channel in channels):
                raise TransientError(
                    f"This process' own event loop is {late:.1f} s late, so it hears nothing in time."
                    if late > SILENCE_S
                    else "A node of the Redis Cluster passes no notifications on."
                )
            if not self._memory.is_on and all(channel in self._beats for channel in channels):
                self._memory.restore()
            await asyncio.sleep(_WATCH_S)
            late = max(self._clock.monotonic() - now - _WATCH_S, 0.95 * late)
