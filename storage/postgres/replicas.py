"""Where reads of PostgreSQL go: to a replica that has reached what is asked for, else to the primary.

Design, section 5, rules 1, 5 and 8. With the primary down, the most advanced replica answers; where it has not reached
the position, or none is known, the read counts as unverified.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import asyncpg

from app.core.clock import Clock
from app.core.consistency_token import is_of_replica, of_replica, position_of
from app.core.errors import BusyError, FatalError, TooDearError, TooMuchAtOnceError, TransientError
from app.core.log_events import LogEvent
from app.observability.metrics import (
    READ_FAILURES,
    READ_SECONDS,
    READS_TOO_DEAR,
    TOKEN_WAITS,
    UNVERIFIED,
)
from storage.breaker import Breaker
from storage.postgres.pools import Connection, asked
from storage.postgres.positioned import Ask, Reached, moment, position
from storage.postgres.read_queue import ReadQueue
from storage.postgres.visibility import Visibility

logger = logging.getLogger(__name__)

T = TypeVar("T")

COOLDOWN_S: Final = 2.0
REPLICA_TIMEOUT_S: Final = 1.5
POSITION_TIMEOUT_S: Final = 1.5  # the primary's, which it knows without a look at a table
PRIMARY_TIMEOUT_S: Final = 5.0
_CATCH_UP_S: Final = 0.004  # what a replica in the same room needs for a commit
_SHORTS: Final = 3  # times in a row that a replica had not caught up, after which it is taken for lagging
VISIBLE_POLLS: Final = 100  # for a commit that replicas show and the primary does not
_VISIBLE_POLL_S: Final = 0.01
_LAGGING_S: Final = 0.25  # for how long it is then not asked for as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[T]):
    """A result: it has every commit up to `position`, and `upper`, which was read after it, is its token.

    `verified` is false where it is not known whether it reached what was asked for. What the primary answered holds
    every commit that anyone was told of before it was asked, whatever its position says: those up to `acknowledged`.
    """

    result: T
    position: int
    upper: int
    on_primary: bool = False
    verified: bool = True
    acknowledged: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "acknowledged", max(self.acknowledged, self.position))


class Replica:
    """A replica, whether it answered lately, and whether it is known to follow the primary's timeline."""

    def __init__(self, name: str, pool: asyncpg.Pool, clock: Clock) -> None:
        self.name = name
        self.pool = pool
        self.follows = True
        self.breaker = Breaker(clock, cooldown_s=COOLDOWN_S)
        self._clock = clock
        self._shorts = 0
        self._short_of = 0
        self._lags_until = 0.0

    def lags(self, least: int) -> bool:
        """Whether it is not worth asking: it fell short of as much several times, the last time just now."""
        return (
            self._shorts >= _SHORTS and least >= self._short_of and self._clock.monotonic() < self._lags_until
        )

    def reached(self) -> None:
        """It had what was asked of it."""
        self._shorts = 0

    def fell_short(self, least: int) -> None:
        """It had not, and did not catch up."""
        self._shorts += 1
        self._short_of = least
        self._lags_until = self._clock.monotonic() + _LAGGING_S


class ReadSource:
    """The primary and its replicas. Raises TransientError where none answers, BusyError where too much is asked.

    Data is read in the turns of `queue`; positions, which the cache's rules need, are not.
    """

    def __init__(
        self,
        primary: asyncpg.Pool,
        replicas: Sequence[Replica],
        *,
        acquire_timeout_s: float,
        clock: Clock,
        queue: ReadQueue,
    ) -> None:
        self._primary = primary
        self._replicas = list(replicas)
        self._acquire_timeout_s = acquire_timeout_s
        self._clock = clock
        self._queue = queue
        self._visibility = Visibility()
        # Its cooldown keeps requests from waiting for a primary that is known to be down.
        self._primary_breaker = Breaker(clock, cooldown_s=COOLDOWN_S)
        self._turn = 0

    @property
    def primary_answers(self) -> bool:
        """False after a question that the primary did not answer, until it answers one."""
        return self._primary_breaker.closed

    def moved(self) -> None:
        """The primary is another one: a replica's position says nothing until it is seen to follow."""
        self._visibility.forget()
        for replica in self._replicas:
            replica.follows = False

    async def position(self) -> int | None:
        """The primary's flush position now: every commit that was acknowledged is below. None: it is down."""
        try:
            return (await self._on_primary(_position, POSITION_TIMEOUT_S)).before
        except TransientError:
            return None

    async def read(self, ask: Ask[T], reach: int | None, *, token: int = 0) -> Read[T]:
        """Read what has reached `reach` and `token`; a `reach` of None is not known, since the primary is down.

        Raises TransientError where nothing that reached the token answers.
        """
        async with self._queue.turn():
            return await self._read(ask, reach, token)

    async def _read(self, ask: Ask[T], reach: int | None, token: int) -> Read[T]:
        if reach is None:
            return await self._unverified(ask, None, token)
        least = max(reach, position_of(token))
        for replica in self._in_turn():
            if replica.lags(least) or not replica.breaker.allow():
                continue
            try:
                read = await self._try_replica(replica, ask, least)
            except TooDearError:  # for another replica, too; the primary takes longer
                break
            if read is not None:
                return read
        try:
            return await self._shown_by_primary(await self._read_primary(ask), ask, token)
        except TooDearError:
            raise
        except TransientError:
            return await self._unverified(ask, least, token)

    async def read_primary(self, ask: Ask[T]) -> Read[T]:
        """What the primary holds now. Raises TransientError where it does not answer."""
        async with self._queue.turn():
            return await self._read_primary(ask)

    async def _read_primary(self, ask: Ask[T]) -> Read[T]:
        return self._of_primary(await self._on_primary(ask, PRIMARY_TIMEOUT_S))

    def _of_primary(self, found: Reached[T]) -> Read[T]:
        # Rule 1: a commit can be flushed and not visible yet. Whatever was acknowledged is: its position was read
        # before this one.
        acknowledged = found.before - 1
        position = acknowledged if found.moment is None else self._visibility.reached(found.moment)
        return Read(
            result=found.result,
            position=position,
            acknowledged=acknowledged,
            upper=found.after,
            on_primary=True,
        )

    async def _shown_by_primary(
        self, read: Read[T], ask: Ask[T], token: int, *, is_patient: bool = True
    ) -> Read[T]:
        """This read, or a later one where it may lack what a replica has shown to the token's client (rule 8).

        Raises TransientError where the primary does not come to show it within a second.
        """
        if not is_of_replica(token) or read.position >= position_of(token):
            return read
        for _ in range(VISIBLE_POLLS if is_patient else 0):
            await asyncio.sleep(_VISIBLE_POLL_S)
            if self._of_primary(await self._on_primary(_moment, POSITION_TIMEOUT_S)).position >= position_of(
                token
            ):
                TOKEN_WAITS.add("shown")
                return await self._read_primary(ask)
        if is_patient:
            TOKEN_WAITS.add("refused")
        raise TransientError("The primary does not show yet what a replica has shown to the token's client.")

    async def _try_replica(self, replica: Replica, ask: Ask[T], least: int) -> Read[T] | None:
        """Ask one replica, twice where it has not reached `least`; None where it can't answer."""
        try:
            found = await self._on_replica(replica, ask, least)
            if found is None:
                await asyncio.sleep(_CATCH_UP_S)
                found = await self._on_replica(replica, ask, least)
        except TooDearError:
            raise
        except TransientError:
            return None
        if found is None:
            replica.fell_short(least)
            return None
        replica.reached()
        return _of_replica(found)

    async def _unverified(self, ask: Ask[T], least: int | None, token: int) -> Read[T]:
        """Ask the most advanced replica. A `least` of None is not known: a token says nothing of what others wrote."""
        replicas = [replica for replica in self._in_turn() if replica.breaker.allow()]
        positions = await asyncio.gather(
            *(self._on_replica(replica, _position, 0) for replica in replicas), return_exceptions=True
        )
        answered = [
            (found.before, replica)
            for found, replica in zip(positions, replicas, strict=True)
            if isinstance(found, Reached)
        ]
        for _, replica in sorted(answered, key=lambda pair: -pair[0]):
            try:
                found = await self._on_replica(replica, ask, position_of(token))
            except TooDearError:
                raise
            except TransientError:
                continue
            if found is not None:
                verified = least is not None and least <= found.before
                if not verified:
                    UNVERIFIED.add()
                return _of_replica(found, verified=verified)
        # Nobody else is left: the primary is asked even where it did not answer a moment ago.
        last = self._of_primary(await self._ask_primary(ask, PRIMARY_TIMEOUT_S))
        return await self._shown_by_primary(last, ask, token, is_patient=False)

    async def _on_primary(self, ask: Ask[T], timeout_s: float) -> Reached[T]:
        if not self._primary_breaker.allow():
            raise TransientError("The primary did not answer a moment ago.")
        return await self._ask_primary(ask, timeout_s)

    async def _ask_primary(self, ask: Ask[T], timeout_s: float) -> Reached[T]:
        timeout_s = min(timeout_s, self._acquire_timeout_s)
        started = self._clock.monotonic()
        try:
            async with asked(self._primary, timeout_s) as connection:
                found = await ask(connection, 0)
        except BusyError:
            raise
        except TooMuchAtOnceError as error:
            self._primary_breaker.succeeded()
            raise _too_dear("primary") from error
        except TransientError:
            READ_FAILURES.add("primary")
            self._primary_breaker.failed()
            raise
        self._primary_breaker.succeeded()
        READ_SECONDS.observe(self._clock.monotonic() - started, "primary")
        assert found is not None  # noqa: S101 - every server has reached 0
        return found

    async def _on_replica(self, replica: Replica, ask: Ask[T], least: int) -> Reached[T] | None:
        started = self._clock.monotonic()
        try:
            async with asked(replica.pool, REPLICA_TIMEOUT_S) as connection:
                found = await ask(connection, least)
        except BusyError:
            raise
        except TooMuchAtOnceError as error:
            replica.breaker.succeeded()
            raise _too_dear("replica") from error
        except (TransientError, FatalError) as error:
            # FatalError: it lags behind a migration, or refuses our user. The others may well answer.
            if replica.breaker.closed:
                logger.warning(
                    "%s is left out for now: %s", replica.name, error, extra=LogEvent.REPLICA_LEFT_OUT.extra
                )
            READ_FAILURES.add("replica")
            replica.breaker.failed()
            raise TransientError(str(error)) from error
        replica.breaker.succeeded()
        READ_SECONDS.observe(self._clock.monotonic() - started, "replica")
        return found

    def _in_turn(self) -> list[Replica]:
        """Those that follow the primary; whether one may be asked its breaker says, when its turn has come."""
        self._turn += 1
        turned = [self._replicas[(self._turn + i) % len(self._replicas)] for i in range(len(self._replicas))]
        return [replica for replica in turned if replica.follows]


def _too_dear(server: str) -> TooDearError:
    READS_TOO_DEAR.add(server)
    return TooDearError(
        "The database gave this question up, which took longer than a question may. Ask for less: a lesser depth, "
        "fewer ids, or one entity instead of a look-up."
    )


def _of_replica(found: Reached[T], *, verified: bool = True) -> Read[T]:
    return Read(
        result=found.result,
        position=found.before,
        upper=of_replica(found.after),
        verified=verified,
    )


async def _moment(connection: Connection, least: int) -> Reached[None]:
    then = await moment(connection)
    return Reached(None, then.position, then.position, then)


async def _position(connection: Connection, least: int) -> Reached[None] | None:
    found = await position(connection)
    return Reached(None, found, found) if found >= least else None
