"""Requests that come while others are being written share the next transaction.

A commit costs the same for one row as for a thousand, so many small requests at once become few transactions; the
first request of an idle writer waits for nobody.

Sharing changes no outcome. Two rows about the same thing are compared by their dates, and equal dates by their values,
in SQL, which gives one winner whether the rows come in one transaction or in two, and in whichever order.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from app.core.errors import InvalidError, TransientError
from app.core.models import Batch, Changes
from app.core.refusals import RefusedRowsError
from app.ports.writing import ProfileWriter


@dataclass(slots=True, eq=False)
class _Request:
    batch: Batch
    outcome: asyncio.Future[Changes]


@dataclass(slots=True, eq=False)
class _Flush:
    requests: Sequence[_Request]
    task: asyncio.Task[None]


class SharedWriter:
    """Implements app.ports.writing.ProfileWriter on another one, for many callers with few rows each.

    Each request is all or nothing, with an outcome of its own. A `write` that is cancelled while it waits writes
    nothing; one that is being written goes on for as long as anybody waits for the same transaction.
    """

    def __init__(self, writer: ProfileWriter, *, max_rows: int, flushes: int = 2) -> None:
        """`max_rows` bounds a shared transaction; a larger request has one alone. `flushes` run at a time."""
        self._writer = writer
        self._max_rows = max_rows
        self._slots = flushes
        self._waiting: deque[_Request] = deque()
        self._flushes: set[_Flush] = set()

    async def now(self) -> datetime:
        return await self._writer.now()

    async def write(self, batch: Batch) -> Changes:
        """As the port says, but that `Changes` are those of the whole transaction, other requests' too.

        InvalidError is about this request alone; TransientError and FatalError may go to all that shared.
        """
        request = _Request(batch, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self._start_flushes()
        try:
            return await request.outcome
        except asyncio.CancelledError:
            self._give_up(request)
            raise

    async def close(self) -> None:
        """Return when every request has its outcome. The writer underneath must stay open until then."""
        while self._flushes:
            await asyncio.wait([flush.task for flush in self._flushes])

    def _start_flushes(self) -> None:
        while self._waiting and len(self._flushes) < self._slots:
            requests = self._take()
            flush = _Flush(requests, asyncio.create_task(self._settle(requests)))
            flush.task.add_done_callback(partial(self._ended, flush))
            self._flushes.add(flush)

    def _take(self) -> list[_Request]:
        taken = [self._waiting.popleft()]
        rows = len(taken[0].batch)
        while self._waiting and rows + len(self._waiting[0].batch) <= self._max_rows:
            rows += len(self._waiting[0].batch)
            taken.append(self._waiting.popleft())
        return taken

    def _ended(self, flush: _Flush, _: asyncio.Task[None]) -> None:
        self._flushes.discard(flush)
        # Some are left where the flush was cancelled.
        _fail(flush.requests, TransientError("The write was given up; it may have been committed."))
        self._start_flushes()

    async def _settle(self, requests: Sequence[_Request]) -> None:
        """Give each request its outcome.

        Of a refused batch the requests that the refusal names are set aside and the others written; where it names
        none, halves are tried until the guilty ones are alone.
        """
        requests = [request for request in requests if not request.outcome.done()]
        if not requests:
            return
        try:
            changes = await self._writer.write(_merged(requests))
        except InvalidError as error:
            if len(requests) == 1:
                _fail(requests, error)
                return
            for part in _parts(requests, error):
                await self._settle(part)
        except Exception as error:  # noqa: BLE001 - raised again by each caller
            _fail(requests, error)
        else:
            for request in requests:
                if not request.outcome.done():
                    request.outcome.set_result(changes)

    def _give_up(self, request: _Request) -> None:
        if request in self._waiting:
            self._waiting.remove(request)
            return
        for flush in self._flushes:
            # As without sharing: a statement that hangs ends with the request that waits for it.
            if request in flush.requests and all(other.outcome.done() for other in flush.requests):
                flush.task.cancel()


def _merged(requests: Sequence[_Request]) -> Batch:
    if len(requests) == 1:
        return requests[0].batch
    merged = Batch()
    for request in requests:
        merged.extend(request.batch)
    return merged


def _parts(requests: Sequence[_Request], error: InvalidError) -> list[Sequence[_Request]]:
    """What to write next, each apart, of a batch that was refused."""
    causes = [
        error.cause_in(request.batch) if isinstance(error, RefusedRowsError) else None for request in requests
    ]
    innocent = [request for request, cause in zip(requests, causes, strict=True) if cause is None]
    if len(innocent) == len(requests):
        middle = len(requests) // 2
        return [requests[:middle], requests[middle:]]
    parts: list[Sequence[_Request]] = [innocent] if innocent else []
    for request, cause in zip(requests, causes, strict=True):
        if cause is None:
            continue
        if isinstance(error, RefusedRowsError) and error.shares_room:
            # There was no room beside the others, of which some may have been refused: it is judged alone.
            parts.append([request])
        else:
            _fail([request], cause)
    return parts


def _fail(requests: Sequence[_Request], error: Exception) -> None:
    for request in requests:
        if not request.outcome.done():
            request.outcome.set_exception(error)
