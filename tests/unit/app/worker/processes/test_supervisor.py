"""A supervisor with real processes, which are small ones: what it does when they end, hang, or are to stop."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from app.config.processes import Kind, Process
from app.worker.processes import supervisor as module
from app.worker.processes.supervisor import Supervisor

ROOT = Path(__file__).parents[5]
CHILD = Path(__file__).with_name("child.py")


class Run:
    """A supervisor of `web` and `cdc`, of which cdc behaves as told; what they noted, and with which code it left."""

    def __init__(self, behaviour: str, notes: Path, **settings: Any) -> None:
        self.notes = notes
        notes.touch()
        self.left: list[int] = []
        self.supervisor = Supervisor(
            [Process(name=kind, kind=kind, among=1, settings={}) for kind in (Kind.WEB, Kind.CDC)],
            [sys.executable, str(CHILD), behaviour, str(notes)],
            leave=self.left.append,  # type: ignore[arg-type]  # the test goes on
            **{"restarts": 3, "silence_s": 20.0, "first_pause_s": 0.01, "look_s": 0.02} | settings,
        )

    def noted(self, name: str, what: str) -> list[int]:
        """Pids of that process to which that happened."""
        lines = (line.split(" ", 2) for line in self.notes.read_text().splitlines())
        return [int(pid) for who, pid, happened in lines if (who, happened) == (name, what)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def restarts(name: str) -> float:
    return REGISTRY.get_sample_value("profile_process_restarts_total", {"process": name}) or 0.0


def is_up(name: str) -> bool:
    return REGISTRY.get_sample_value("profile_process_up", {"process": name}) == 1


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))

    @asynccontextmanager
    async def begin(behaviour: str, **settings: Any) -> AsyncIterator[Run]:
        run = Run(behaviour, tmp_path / "notes", **settings)
        await run.supervisor.begin()
        try:
            yield run
        finally:
            if not run.left:
                await run.supervisor.end()
            assert not run.supervisor.directory.exists()

    return begin


async def test_one_that_is_killed_is_replaced_and_the_others_stay(begun: Any) -> None:
    before = restarts("cdc"), restarts("web")
    async with begun("serve") as run:
        await until(lambda: is_up("web") and is_up("cdc"))
        os.kill(run.noted("cdc", "starts")[0], signal.SIGKILL)
        await until(lambda: len(run.noted("cdc", "starts")) == 2 and is_up("cdc"))
    assert (restarts("cdc"), restarts("web")) == (before[0] + 1, before[1])
    assert len(run.noted("web", "starts")) == 1
    assert run.left == []


async def test_one_that_hangs_is_ended_and_replaced(begun: Any) -> None:
    async with begun("hang", silence_s=0.5) as run:
        await until(lambda: len(run.noted("cdc", "starts")) == 2)
        await until(lambda: is_up("cdc"))
        with pytest.raises(ProcessLookupError):
            os.kill(run.noted("cdc", "starts")[0], 0)


async def test_replacements_are_bounded_and_the_others_drained(begun: Any) -> None:
    async with begun("exit70", restarts=2) as run:
        await until(lambda: bool(run.left))
    assert run.left == [70]
    assert len(run.noted("cdc", "starts")) == 3  # the first, and two replacements
    assert run.noted("web", "drained") == run.noted("web", "starts")


async def test_one_that_can_not_start_is_not_tried_again(begun: Any) -> None:
    async with begun("exit78") as run:
        await until(lambda: bool(run.left))
    assert (run.left, len(run.noted("cdc", "starts"))) == ([78], 1)


async def test_the_end_waits_until_all_have_drained(begun: Any) -> None:
    async with begun("serve") as run:
        await until(lambda: bool(run.noted("web", "starts") and run.noted("cdc", "starts")))
    for name in ("web", "cdc"):
        assert run.noted(name, "drained") == run.noted(name, "starts")
    assert run.left == []


async def test_an_end_that_meets_the_start_leaves_nobody(begun: Any) -> None:
    async with begun("serve") as run:
        await asyncio.sleep(0)  # the processes are being started
        async with asyncio.timeout(15):
            await asyncio.gather(run.supervisor.end(), run.supervisor.end())
    assert run.left == []


async def test_who_does_not_drain_well_gives_the_code(begun: Any) -> None:
    async with begun("fails to drain") as run:
        await until(lambda: bool(run.noted("cdc", "starts")))
    assert run.left == [70]


async def test_who_does_not_stop_is_killed(begun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "END_LIMIT_S", 0.3)
    async with begun("stubborn") as run:
        await until(lambda: is_up("cdc"))
    assert run.left == [128 + signal.SIGKILL]
    with pytest.raises(ProcessLookupError):
        os.kill(run.noted("cdc", "starts")[0], 0)


ALONE = """
import asyncio, sys
from app.config.processes import Kind, Process
from app.worker.processes.supervisor import Supervisor

async def main():
    supervisor = Supervisor(
        [Process(name="web", kind=Kind.WEB, among=1, settings={})],
        [sys.executable, *sys.argv[1:]], restarts=1, silence_s=20.0, leave=sys.exit)
    await supervisor.begin()
    print(supervisor.directory, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_all_end_with_the_one_that_started_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notes = tmp_path / "notes"
    notes.touch()
    parent = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", ALONE, str(CHILD), "serve", str(notes)], stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        directory = Path((await parent.stdout.readline()).decode().strip())
        await until(lambda: "starts" in notes.read_text())
    finally:
        parent.kill()
        await parent.wait()
    await until(lambda: "drained" in notes.read_text())
    await until(lambda: not directory.exists())
