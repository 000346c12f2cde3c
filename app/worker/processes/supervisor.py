"""Starts the processes of a worker, and sees to it that they run until the worker is to end.

One that ends is replaced, after a pause; one that does not answer for too long is ended first. Replacements are
bounded: with one too many the worker drains the others and ends with that process' exit code, for whoever supervises
it. So does a process that can't start at all, the first time. Processes end with the one that started them, too.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import tempfile
import time
from asyncio.subprocess import Process as Child
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from app.config.processes import Process
from app.core.errors import TransientError
from app.core.log_events import LogEvent
from app.core.process import EX_CONFIG, Terminate
from app.observability import metrics
from app.worker.processes.channel import ALIVE, METRICS, READY, StatusServer, ask, socket_of
from app.worker.processes.member import Member

logger = logging.getLogger(__name__)

SUPERVISOR: Final = "supervisor"
RUNNING: Final = b"running"
STARTING: Final = b"starting"
WINDOW_S: Final = 300.0  # in which replacements are counted
END_LIMIT_S: Final = 50.0  # a process that stops has a limit of its own, of 45 s
_LOOK_S: Final = 1.0
_START_S: Final = 120.0  # until the first answer: imports on a busy machine
_ABORT_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 10.0


class Supervisor:
    """`begin` starts all processes, `end` stops them. `command` is what each runs, with variables of its own."""

    def __init__(
        self,
        processes: Sequence[Process],
        command: Sequence[str],
        *,
        restarts: int,
        silence_s: float,
        leave: Terminate,
        first_pause_s: float = 0.5,
        look_s: float = _LOOK_S,
    ) -> None:
        self._processes = processes
        self._command = command
        self._restarts = restarts
        self._silence_s = silence_s
        self._leave = leave
        self._first_pause_s = first_pause_s
        self._look_s = look_s
        self._ending = asyncio.Event()
        self._children: dict[str, Child] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._environment: dict[str, str] = {}
        self._ran: set[str] = set()  # those that have ever been ready to work
        self._codes: list[int] = []  # of those that did not end well when told to end
        self._giving_up: asyncio.Task[None] | None = None
        self._end: asyncio.Task[None] | None = None
        self._cwd = Path.cwd()  # that of the command, which may change to another one

    async def begin(self, environment: Mapping[str, str] | None = None) -> None:
        """Start all; `environment` goes to each. Returns at once: /readyz tells when they are ready.

        Raises OSError where there is no place for its sockets.
        """
        self._environment |= environment or {}
        self.directory = Path(tempfile.mkdtemp(prefix="user-profile-"))
        # Nobody writes to it; it ends when this process is gone, however it went.
        self._lifeline, self._alive = os.pipe()
        self._status = StatusServer(
            socket_of(self.directory, SUPERVISOR), {METRICS: self._metrics, READY: self._ready}
        )
        await self._status.start()
        for process in self._processes:
            metrics.PROCESS_UP.labels(process.name).set(0)
            metrics.PROCESS_RESTARTS.labels(process.name)
            self._keepers[process.name] = asyncio.create_task(
                self._keep(process), name=f"process {process.name}"
            )

    async def _metrics(self) -> bytes:
        return metrics.of_supervisor()[0]

    async def _ready(self) -> bytes:
        return b"[]"

    async def _keep(self, process: Process) -> None:
        """Start the process again and again, until the worker ends."""
        replaced: deque[float] = deque()
        while not self._ending.is_set():
            code = await self._one_life(process)
            metrics.PROCESS_UP.labels(process.name).set(0)
            if self._ending.is_set():
                if code not in (0, -signal.SIGTERM):
                    self._codes.append(_exit_code(code))
                return
            now = time.monotonic()
            while replaced and now - replaced[0] > WINDOW_S:
                replaced.popleft()
            cannot_start = code == EX_CONFIG and process.name not in self._ran
            if cannot_start or len(replaced) >= self._restarts:
                self._give_up(process, code)
                return
            pause_s = min(self._first_pause_s * 2 ** len(replaced), _LONGEST_PAUSE_S)
            replaced.append(now)
            logger.error(
                "The process %s ended (%s) and is replaced in %.1f s (%d of %d times within %.0f s).",
                process.name,
                _how(code),
                pause_s,
                len(replaced),
                self._restarts,
                WINDOW_S,
                extra=LogEvent.PROCESS_REPLACED.extra,
            )
            metrics.PROCESS_RESTARTS.labels(process.name).inc()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause_s)

    async def _one_life(self, process: Process) -> int:
        """Start the process and return its code when it has ended; negative: the signal that ended it."""
        child = await self._start(process)
        self._children[process.name] = child
        if self._ending.is_set():  # it began while the others were told
            _signal(child, signal.SIGTERM)
        try:
            return await self._watch(process, child)
        finally:
            del self._children[process.name]

    async def _start(self, process: Process) -> Child:
        others = [SUPERVISOR, *(other.name for other in self._processes if other is not process)]
        member = Member(
            name=process.name,
            kind=process.kind,
            among=process.among,
            siblings=others,
            directory=str(self.directory),
            lifeline=self._lifeline,
        )
        child = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=self._cwd,
            env=os.environ | self._environment | dict(process.settings) | member.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lifeline,),
            start_new_session=True,  # Ctrl+C reaches this process alone, which tells the others
        )
        logger.info("The process %s is started (pid %d).", process.name, child.pid)
        return child

    async def _watch(self, process: Process, child: Child) -> int:
        ended = asyncio.ensure_future(child.wait())
        heard_at, limit_s = time.monotonic(), max(_START_S, self._silence_s)
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=self._look_s)
                if ended.done() or self._ending.is_set():
                    break
                try:
                    told = await ask(self.directory, process.name, ALIVE, limit_s=self._silence_s)
                except TransientError:
                    metrics.PROCESS_UP.labels(process.name).set(0)
                    if not ended.done() and time.monotonic() - heard_at > limit_s:
                        await self._abort(process, child)
                else:
                    heard_at, limit_s = time.monotonic(), self._silence_s
                    metrics.PROCESS_UP.labels(process.name).set(told == RUNNING)
                    if told == RUNNING:
                        self._ran.add(process.name)
            return await ended
        finally:
            ended.cancel()

    async def _abort(self, process: Process, child: Child) -> None:
        """End a process that does not answer. Its log tells where it was."""
        logger.critical(
            "The process %s does not answer for %.0f s and is ended.",
            process.name,
            self._silence_s,
            extra=LogEvent.PROCESS_HANGS.extra,
        )
        _signal(child, signal.SIGABRT)
        try:
            await asyncio.wait_for(child.wait(), _ABORT_S)
        except TimeoutError:
            _signal(child, signal.SIGKILL)

    def _give_up(self, process: Process, code: int) -> None:
        if self._giving_up is not None:
            return
        logger.critical(
            "The process %s ended (%s) once too often; the worker stops.",
            process.name,
            _how(code),
            extra=LogEvent.PROCESS_GIVEN_UP.extra,
        )

        async def leave() -> None:
            await self.end()
            self._leave(_exit_code(code) or 1)

        self._giving_up = asyncio.create_task(leave(), name="giving up")

    async def end(self) -> None:
        """Tell all processes to stop and return when they have. Leaves with a code where one did not end well.

        Idempotent: an operator's stop may meet one of its own.
        """
        if self._end is None:
            self._end = asyncio.create_task(self._end_all(), name="end of all processes")
        await asyncio.shield(self._end)

    async def _end_all(self) -> None:
        self._ending.set()
        for child in self._children.values():
            _signal(child, signal.SIGTERM)
        if self._keepers:
            _, late = await asyncio.wait(self._keepers.values(), timeout=END_LIMIT_S)
            for child in self._children.values():
                _signal(child, signal.SIGKILL)
            if late:
                await asyncio.wait(late)
        self._keepers.clear()
        await self._status.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        for end in (self._lifeline, self._alive):
            os.close(end)
        if self._codes and self._giving_up is None:
            self._leave(self._codes[0])


def _signal(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)


def _exit_code(code: int) -> int:
    """As shells tell it."""
    return code if code >= 0 else 128 - code


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
