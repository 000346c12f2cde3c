"""A process for the tests of its supervisor: it notes what happens to it, and behaves as its first argument says."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from app.worker.processes.channel import ALIVE, StatusServer, socket_of
from app.worker.processes.member import Member

BEHAVIOUR, NOTES = sys.argv[1], Path(sys.argv[2])


def note(what: str) -> None:
    with NOTES.open("a") as notes:
        notes.write(f"{what}\n")


def is_first() -> bool:
    return NOTES.read_text().count("cdc ") == 1


def hang() -> None:
    time.sleep(60)


async def main(member: Member) -> None:
    told, stop = asyncio.Event(), asyncio.Event()

    async def alive() -> bytes:
        told.set()
        return b"running"

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = StatusServer(socket_of(member.place, member.name), {ALIVE: alive})
    await server.start()
    note(f"{member.name} {os.getpid()} starts")
    behaves = BEHAVIOUR if member.name == "cdc" else "serve"
    if behaves.startswith("exit"):
        sys.exit(int(behaves.removeprefix("exit")))
    if behaves == "hang" and is_first():
        await told.wait()
        await asyncio.sleep(0.05)
        hang()
    await stop.wait()
    if behaves == "stubborn":
        hang()
    note(f"{member.name} {os.getpid()} drained")
    sys.exit(70 if behaves == "fails to drain" else 0)


if __name__ == "__main__":
    me = Member.of_environment()
    assert me is not None
    me.watch_lifeline()
    asyncio.run(main(me))
