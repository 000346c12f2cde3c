"""Questions between the processes of one worker, over a Unix socket of each in a directory of the worker's own.

One connection is one question: a line, answered by bytes up to the connection's end. Nobody but the worker's user can
open the directory.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from app.core.attention import attended_timeout
from app.core.errors import TransientError

ALIVE: Final = "alive"
READY: Final = "ready"
METRICS: Final = "metrics"
_QUESTION_S: Final = 5.0
_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024

Answers = Mapping[str, Callable[[], Awaitable[bytes]]]


def socket_of(directory: Path, process: str) -> Path:
    return directory / f"{process}.sock"


class StatusServer:
    """Answers for one process while its event loop runs."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self._path = path
        self._answers = answers
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen. A socket that a process of this name left behind is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, self._path)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_QUESTION_S):
                question = (await reader.readline()).decode().strip()
                answer = self._answers.get(question)
                if answer is not None:
                    writer.write(await answer())
                    await writer.drain()
        except (OSError, TimeoutError):  # who asked is gone, or takes nothing
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def ask(directory: Path, process: str, question: str, *, limit_s: float) -> bytes:
    """The answer of a process. Raises TransientError where it does not answer in time, or does not run.

    Only time in which the event loop of who asks is punctual counts.
    """
    try:
        async with attended_timeout(limit_s):
            reader, writer = await asyncio.open_unix_connection(socket_of(directory, process))
            try:
                writer.write(f"{question}\n".encode())
                answer = await _all(reader)
            finally:
                writer.close()
    except TimeoutError:
        raise TransientError(f"no answer within {limit_s:g} s") from None
    except OSError as error:
        raise TransientError(f"does not answer ({error.strerror or type(error).__name__})") from None
    if not answer:
        raise TransientError("ended the connection without an answer")
    return answer


async def _all(reader: asyncio.StreamReader) -> bytes:
    parts, size = [], 0
    while part := await reader.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > _MAX_ANSWER_BYTES:
            raise TransientError("answers too much")
    return b"".join(parts)
