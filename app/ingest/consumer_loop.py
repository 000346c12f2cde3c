"""The loop of every agent: fetches → window → process → acknowledge.

No exception leaves it: Faust would acknowledge what an agent failed on, and replace the agent. Where it can't go on
the process ends without committing, and the records come again to the next one.
"""

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Coroutine, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any, Final, NoReturn, Protocol

from app.core.clock import Clock
from app.core.errors import FatalError, ProfileError, TooMuchAtOnceError, TransientError
from app.core.failpoints import NO_HOOKS, Hooks
from app.core.log_events import LogEvent
from app.core.process import EX_SOFTWARE, Terminate
from app.core.records import Record, size_of
from app.core.retry import RetryPolicy
from app.ingest.suspects import Suspects, Suspicion
from app.ingest.window import Cause, TumblingWindow, WindowLimits
from app.observability import tracing
from app.observability.metrics import (
    FLUSH_RETRIES,
    FLUSH_SECONDS,
    FLUSH_SPLITS,
    RECORDS,
    UNACKED_SECONDS,
    WINDOWS,
)
from app.ports.health import DependencyState
from app.ports.processing import RecordProcessor

logger = logging.getLogger(__name__)

# All attempts at one window, or at the rest of it once a part is done: below Faust's rebalance timeout of 60 s, and
# SIGTERM waits no longer.
_WINDOW_LIMIT_S: Final = 45.0


class Fetch(Protocol):
    """What is used of an event of the bulk transport."""

    @property
    def value(self) -> Sequence[Record]: ...

    def ack(self) -> Any: ...


class ConsumerLoop:
    """One agent's window, and up to `flushes` closed ones that are being processed.

    `add` returns when fewer than `flushes` are under way, which is the back pressure. With more than one, records are
    decoded while others are written; they overtake each other, so it is for processors that need no order.
    """

    def __init__(
        self,
        name: str,
        processor: RecordProcessor,
        *,
        limits: WindowLimits,
        retries: RetryPolicy,
        flush_timeout_s: float,
        clock: Clock,
        terminate: Terminate,
        window_limit_s: float = _WINDOW_LIMIT_S,
        progress_timeout_s: float = 60.0,
        flushes: int = 1,
        suspects: Suspects | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        """Without `suspects`, a record that kills the process kills the next one, too."""
        self._window_limit_s = max(window_limit_s, flush_timeout_s)
        self._progress_timeout_s = progress_timeout_s
        self._name = name
        self._processor = processor
        self._window: TumblingWindow[Fetch] = TumblingWindow(limits, clock)
        self._retries = retries
        self._flush_timeout_s = flush_timeout_s
        self._clock = clock
        self._terminate = terminate
        self._lock = asyncio.Lock()
        self._opened = asyncio.Event()
        self._flushes = flushes
        self._suspects = suspects
        self._hooks = hooks
        self._in_flight: dict[asyncio.Task[None], float] = {}  # with when their first record came
        self._timer: asyncio.Task[None] | None = None
        self._stopping = False
        self._failing: str | None = None  # why the latest attempt failed, if it did

    def start(self) -> None:
        # A task of its own: the stream is suspended during a rebalance, and a window must close nonetheless.
        UNACKED_SECONDS.labels(self._name).set_function(self._oldest_s)
        self._timer = asyncio.create_task(self._close_when_due(), name=f"window-timer {self._name}")

    async def add(self, fetch: Fetch) -> None:
        """Take a fetch; flush when the window is full."""
        async with self._lock:
            records = fetch.value
            if self._suspects is not None and (found := await self._suspects.of(records)) is not None:
                await self._close("stop")
                await self._at_most(0)
                await self._one_by_one(fetch, found, self._suspects)
                return
            self._window.add(fetch, records=len(records), size_bytes=sum(map(size_of, records)))
            self._opened.set()
            cause = "stop" if self._stopping else self._window.closed_by()
            if cause is not None:
                await self._close(cause)

    async def drain(self) -> None:
        """Flush what is open; from now on each fetch is flushed as it comes.

        So all that was fetched is acknowledged before the consumer stops.
        """
        async with self._lock:
            self._stopping = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            await self._close("stop")
            await self._at_most(0)

    async def _close_when_due(self) -> None:
        while True:
            await self._opened.wait()
            self._opened.clear()
            while (due_in_s := self._window.due_in_s) is not None:
                await asyncio.sleep(due_in_s)
                async with self._lock:
                    if self._window.closed_by() == "time":
                        await self._close("time")

    async def _close(self, cause: Cause) -> None:
        """Begin to flush the window; return when there is room for the next one."""
        opened_at = self._window.opened_at
        if opened_at is None:
            return
        task = asyncio.create_task(self._flush(self._window.take(), cause), name=f"flush {self._name}")
        self._in_flight[task] = opened_at
        await self._at_most(self._flushes - 1)

    async def _at_most(self, under_way: int) -> None:
        while len(self._in_flight) > under_way:
            done, _ = await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                del self._in_flight[task]
                task.result()

    async def _flush(self, fetches: Sequence[Fetch], cause: Cause) -> None:
        records = [record for fetch in fetches for record in fetch.value]
        async with nullcontext() if self._suspects is None else self._suspects.turns.flush():
            started = self._clock.monotonic()
            await self._or_leave(self._write(fetches, records), len(records))
        FLUSH_SECONDS.labels(self._name).observe(self._clock.monotonic() - started)
        WINDOWS.labels(self._name, cause).inc()
        RECORDS.labels(records[0].topic).inc(len(records))

    async def _write(self, fetches: Sequence[Fetch], records: Sequence[Record]) -> None:
        async with asyncio.timeout(self._window_limit_s) as limit:
            with tracing.flush(self._name, records):
                await self._process(records, limit)
        await self._hooks.reach("before-ack")
        for fetch in fetches:
            fetch.ack()

    async def _or_leave(self, work: Coroutine[None, None, None], records: int) -> None:
        """Do the work to its end, or end the process without committing."""
        try:
            await work
        except FatalError as error:
            self._leave(str(error))
        except TimeoutError:
            self._leave(
                f"{records} records were not durable after {self._window_limit_s:g} s of attempts; see what "
                "the warnings above say of PostgreSQL or Kafka."
            )
        except Exception as error:  # noqa: BLE001 - Faust would acknowledge them
            # Where it happened and never its message, which may quote a record.
            where = "".join(traceback.format_tb(error.__traceback__))
            self._leave(f"unexpected {type(error).__name__}; this is a bug, which happened here:\n{where}")

    async def _one_by_one(self, fetch: Fetch, suspicion: Suspicion, suspects: Suspects) -> None:
        """Process a fetch so that, should the process die, the next one knows of which record."""
        records = [record for record in fetch.value if not suspicion.is_past(record)]
        outlived = [record for record in records if suspicion.was_outlived(record)]
        async with suspects.turns.suspected():
            if outlived:
                async with suspects.turns.alone():
                    await self._or_leave(self._limited(outlived), len(outlived))
            for record in records[len(outlived) :]:
                async with suspects.turns.alone():
                    await self._or_leave(self._by_itself(record, suspicion, suspects), 1)
        fetch.ack()
        RECORDS.labels(fetch.value[0].topic).inc(len(fetch.value))

    async def _by_itself(self, record: Record, suspicion: Suspicion, suspects: Suspects) -> None:
        what = f"Noting the record in hand of {self._name}"
        if suspicion.condemns(record):
            await self._retries.run(what, partial(suspects.set_aside, record))
            return
        await self._retries.run(what, partial(suspects.take, record))
        try:
            await self._limited([record])
        except Exception:
            # This process lives: it leaves for a reason that it can tell, which is not the record's doing.
            with suppress(ProfileError):
                await suspects.outlived(record)
            raise
        await self._retries.run(what, partial(suspects.outlived, record))

    async def _limited(self, records: Sequence[Record]) -> None:
        async with asyncio.timeout(self._window_limit_s) as limit:
            await self._process(records, limit)

    async def _process(self, records: Sequence[Record], limit: asyncio.Timeout) -> None:
        """Process the window, in parts where it is too much at once. Each part that is done renews the limit."""
        parts = deque([records])
        while parts:
            await self._retries.run(
                f"The flush of {len(records)} records of {self._name}",
                partial(self._attempt, parts, limit),
                on_retry=FLUSH_RETRIES.labels(self._name).inc,
            )
            # One that stops is waited for, and not for longer than one window may take.
            if parts and not self._stopping:
                limit.reschedule(asyncio.get_running_loop().time() + self._window_limit_s)

    async def _attempt(self, parts: deque[Sequence[Record]], limit: asyncio.Timeout) -> None:
        """Process the first part. Raises TransientError; where it was too much, its halves stand in its place."""
        part = parts[0]
        try:
            async with asyncio.timeout(self._time_for(part, limit)):
                await self._processor.process(part)
        except TimeoutError as error:
            self._halve(parts)
            self._failing = f"{len(part)} records took too long."
            raise TransientError(self._failing) from error
        except TransientError as error:
            self._failing = str(error)
            if isinstance(error, TooMuchAtOnceError):
                self._halve(parts)
            raise
        self._failing = None
        parts.popleft()

    def _time_for(self, part: Sequence[Record], limit: asyncio.Timeout) -> float:
        """Seconds: half of what the window has left, so that there is time for halves if it is not enough."""
        ends_at = limit.when()
        if ends_at is None:
            return self._flush_timeout_s
        left_s = ends_at - asyncio.get_running_loop().time()
        return min(self._flush_timeout_s, left_s / 2 if len(part) > 1 else left_s)

    def _halve(self, parts: deque[Sequence[Record]]) -> None:
        part = parts[0]
        if len(part) > 1:
            parts.popleft()
            middle = len(part) // 2
            parts.extendleft((part[middle:], part[:middle]))
            FLUSH_SPLITS.labels(self._name).inc()

    def _leave(self, why: str) -> NoReturn:
        logger.critical(
            "%s stops the process, without committing: %s",
            self._name,
            why,
            extra=LogEvent.WORKER_STOPPED_UNCOMMITTED.extra,
        )
        self._terminate(EX_SOFTWARE)

    async def check(self) -> list[DependencyState]:
        """The progress watchdog, as a probe of /readyz."""
        age_s = self._oldest_s()
        detail = f"the oldest record that is not durable came {age_s:.0f} s ago" if age_s else "idle"
        if age_s and self._failing is not None:
            detail += f"; the latest attempt failed: {self._failing}"
        return [
            DependencyState(
                name=f"agent {self._name}",
                ready=age_s < self._progress_timeout_s,
                required=True,
                detail=detail,
            )
        ]

    def _oldest_s(self) -> float:
        opened = [at for task, at in self._in_flight.items() if not task.done()]
        if self._window.opened_at is not None:
            opened.append(self._window.opened_at)
        return self._clock.monotonic() - min(opened) if opened else 0.0
