"""The loop of every agent: fetches → window → process → acknowledge.

No exception leaves it: Faust would acknowledge what an agent failed on, and replace the agent. Where it can't go on
the process ends without committing, and the records come again to the next one.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn, Protocol

from app.clock import Clock
from app.errors import FatalError, TransientError
from app.metrics import FLUSH_RETRIES, FLUSH_SECONDS, UNACKED_SECONDS, WINDOWS
from app.ports import DependencyState, Record, RecordProcessor
from app.retry import RetryPolicy
from app.window import Cause, TumblingWindow, WindowLimits

logger = logging.getLogger(__name__)

EX_SOFTWARE: Final = 70
_STALLED_AFTER_S: Final = 60.0
# All attempts at one window: below Faust's rebalance timeout of 60 s, and SIGTERM waits no longer.
_WINDOW_LIMIT_S: Final = 45.0

Terminate = Callable[[int], NoReturn]


class Fetch(Protocol):
    """What is used of an event of the bulk transport."""

    @property
    def value(self) -> Sequence[Record]: ...

    def ack(self) -> Any: ...


class ConsumerLoop:
    """One agent's window. `add` blocks while a flush is under way, which is the back pressure."""

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
    ) -> None:
        self._window_limit_s = max(window_limit_s, flush_timeout_s)
        self._name = name
        self._processor = processor
        self._window: TumblingWindow[Fetch] = TumblingWindow(limits, clock)
        self._retries = retries
        self._flush_timeout_s = flush_timeout_s
        self._clock = clock
        self._terminate = terminate
        self._lock = asyncio.Lock()
        self._opened = asyncio.Event()
        self._flushing_since: float | None = None
        self._timer: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        # A task of its own: the stream is suspended during a rebalance, and a window must close nonetheless.
        UNACKED_SECONDS.labels(self._name).set_function(self._oldest_s)
        self._timer = asyncio.create_task(self._close_when_due(), name=f"window-timer {self._name}")

    async def add(self, fetch: Fetch) -> None:
        """Take a fetch; flush when the window is full."""
        async with self._lock:
            records = fetch.value
            self._window.add(fetch, records=len(records), size_bytes=sum(map(_size, records)))
            self._opened.set()
            cause = "stop" if self._stopping else self._window.closed_by()
            if cause is not None:
                await self._flush(cause)

    async def drain(self) -> None:
        """Flush what is open; from now on each fetch is flushed as it comes.

        So all that was fetched is acknowledged before the consumer stops.
        """
        async with self._lock:  # whoever holds it is in the middle of a flush: let it end
            self._stopping = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            await self._flush("stop")

    async def _close_when_due(self) -> None:
        while True:
            await self._opened.wait()
            self._opened.clear()
            while (due_in_s := self._window.due_in_s) is not None:
                await asyncio.sleep(due_in_s)
                async with self._lock:
                    if self._window.closed_by() == "time":
                        await self._flush("time")

    async def _flush(self, cause: Cause) -> None:
        self._flushing_since = self._window.opened_at
        fetches = self._window.take()
        if not fetches:
            return
        records = [record for fetch in fetches for record in fetch.value]
        started = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._window_limit_s):
                await self._retries.run(
                    f"The flush of {len(records)} records of {self._name}",
                    lambda: self._attempt(records),
                    on_retry=FLUSH_RETRIES.labels(self._name).inc,
                )
            for fetch in fetches:
                fetch.ack()
        except FatalError as error:
            self._leave(str(error))
        except TimeoutError:
            self._leave(
                f"{len(records)} records were not durable after {self._window_limit_s:g} s of attempts; see what "
                "the warnings above say of PostgreSQL or Kafka."
            )
        except Exception as error:  # noqa: BLE001 - Faust would acknowledge them
            # Where it happened and never its message, which may quote a record.
            where = "".join(traceback.format_tb(error.__traceback__))
            self._leave(f"unexpected {type(error).__name__}; this is a bug, which happened here:\n{where}")
        finally:
            self._flushing_since = None
        FLUSH_SECONDS.labels(self._name).observe(self._clock.monotonic() - started)
        WINDOWS.labels(self._name, cause).inc()

    async def _attempt(self, records: Sequence[Record]) -> None:
        try:
            async with asyncio.timeout(self._flush_timeout_s):
                await self._processor.process(records)
        except TimeoutError as error:
            raise TransientError(f"It took longer than {self._flush_timeout_s:.0f} s.") from error

    def _leave(self, why: str) -> NoReturn:
        logger.critical("%s stops the process, without committing: %s", self._name, why)
        self._terminate(EX_SOFTWARE)

    async def check(self) -> list[DependencyState]:
        """The progress watchdog, as a probe of /readyz."""
        age_s = self._oldest_s()
        return [
            DependencyState(
                name=f"agent {self._name}",
                ready=age_s < _STALLED_AFTER_S,
                required=True,
                detail=f"the oldest record that is not durable came {age_s:.0f} s ago" if age_s else "idle",
            )
        ]

    def _oldest_s(self) -> float:
        since = self._window.opened_at if self._flushing_since is None else self._flushing_since
        return 0.0 if since is None else self._clock.monotonic() - since


def _size(record: Record) -> int:
    return len(record.value) if record.value is not None else 0
