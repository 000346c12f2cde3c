"""The Faust app of a worker with several processes: it consumes nothing, and supervises those that do."""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.config.processes import Kind, Process
from app.config.settings import Settings
from app.core.errors import FatalError
from app.worker.faust_app import ProfileApp, build, terminate, web_address
from app.worker.processes.port import reserved
from app.worker.processes.supervisor import END_LIMIT_S, SUPERVISOR, Supervisor

if TYPE_CHECKING:
    import socket


def supervising(settings: Settings, processes: Sequence[Process]) -> ProfileApp:
    """The app of the command itself; each process runs the same command, with its own part of the settings."""
    app = build(settings, process=SUPERVISOR)
    # Its boot strategy starts nothing then: no consumer, no web server.
    app.producer_only = True
    app.stop_limit_s = END_LIMIT_S + 5.0
    # The interpreter and its options, the program and its arguments: whatever way this process was started.
    supervisor = Supervisor(
        processes,
        [sys.executable, *sys.orig_argv[1:]],
        restarts=settings.process_restarts,
        silence_s=settings.process_silence_s,
        leave=terminate,
    )
    held: list[socket.socket] = []

    async def begin() -> None:
        told = {}
        host, port = web_address(app, settings)
        web = next((process for process in processes if process.kind is Kind.WEB), None)
        # One that is replaced keeps the port, also where any free one was asked for.
        if web is not None and (web.among > 1 or port == 0):
            held.append(await asyncio.to_thread(reserved, host, port, is_shared=settings.web_reuse_port))
            told = {"PROFILE_WEB_PORT": str(held[0].getsockname()[1]), "PROFILE_WEB_REUSE_PORT": "true"}
        try:
            await supervisor.begin(told)
        except OSError as error:
            raise FatalError(
                f"{tempfile.gettempdir()} does not take the sockets of this worker's processes "
                f"({error.strerror or error}): set TMPDIR to another directory, with a short name, or "
                "PROFILE_PROCESSES=1."
            ) from error

    async def close() -> None:
        for each in held:
            each.close()

    app.opening, app.draining, app.closing = begin, supervisor.end, close
    return app
