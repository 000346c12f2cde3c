"""Every path once, by so many clients that each wait for an answer before they ask for the next one."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

TIMEOUT_S: Final = 10.0
_OK, _REFUSED = b"200", b"503"
_STATUS: Final = slice(9, 12)  # after `HTTP/1.1 `


@dataclass(slots=True, kw_only=True)
class Answers:
    """`seconds` of those that came; `refused` is 503, `wrong` any other status than 200."""

    asked: int = 0
    refused: int = 0
    wrong: int = 0
    timed_out: int = 0
    lasted_s: float = 0.0
    seconds: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Answers with 200 a second."""
        good = self.asked - self.refused - self.wrong - self.timed_out
        return good / self.lasted_s if self.lasted_s else 0.0


async def ask_all(
    url: str, paths: Sequence[str], *, connections: int, timeout_s: float = TIMEOUT_S
) -> Answers:
    """One that is not answered in time is counted, and its connection replaced."""
    answers, left = Answers(), iter(paths)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as clients:
        for _ in range(connections):
            clients.create_task(_client(url, left, answers, timeout_s))
    answers.lasted_s = time.perf_counter() - began
    return answers


async def _client(url: str, left: Iterator[str], answers: Answers, timeout_s: float) -> None:
    parts = urlsplit(url)
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    for path in left:
        answers.asked += 1
        began = time.perf_counter()
        try:
            async with asyncio.timeout(timeout_s):
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
                status = await _answer(reader)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            answers.timed_out += 1
            if writer is not None:
                writer.close()
            reader = writer = None
            continue
        answers.seconds.append(time.perf_counter() - began)
        answers.refused += status == _REFUSED
        answers.wrong += status not in {_OK, _REFUSED}
    if writer is not None:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The status of an answer that is read whole."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = head.lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in fields if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return head[_STATUS]
