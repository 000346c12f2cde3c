"""Many requests before few connections, on a virtual clock: who is answered, in which order, who is refused when."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import Any, Final

import pytest

from app.core.arrival import ARRIVED_AT, ASKER
from app.core.errors import BusyError
from storage.postgres.read_queue import ReadQueue
from tests.simulation.loop import LoopClock, VirtualLoop

LIMIT_S: Final = 10.0  # of a request
PATIENCE_S: Final = 3.0
AT_ONCE: Final = 16


def on_virtual_time(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


class Cold:
    """A worker whose caches are empty: each request reads several times, each for so long."""

    def __init__(self, *, read_s: float, reads: int = 1) -> None:
        self.queue = ReadQueue(at_once=AT_ONCE, patience_s=PATIENCE_S, clock=LoopClock())
        self.read_s = read_s
        self.reads = reads
        self.reading = 0
        self.most = 0
        self.began: list[int] = []  # the requests, as their first reads began
        self.outcomes: Counter[str] = Counter()
        self.slowest_s = 0.0

    async def request(self, number: int) -> None:
        started = LoopClock().monotonic()
        ARRIVED_AT.set(started)
        try:
            async with asyncio.timeout(LIMIT_S):
                for step in range(self.reads):
                    async with self.queue.turn():
                        if step == 0:
                            self.began.append(number)
                        self.reading += 1
                        self.most = max(self.most, self.reading)
                        await asyncio.sleep(self.read_s)
                        self.reading -= 1
            self.outcomes["answered"] += 1
        except BusyError:
            self.outcomes["refused"] += 1
        except TimeoutError:
            self.outcomes["timed out"] += 1
        self.slowest_s = max(self.slowest_s, LoopClock().monotonic() - started)

    async def serve(self, clients: int, *, requests: int) -> None:
        """Each client sends one request after the other."""

        async def client(first: int) -> None:
            for n in range(requests):
                await asyncio.create_task(self.request(first + n * clients), context=Context())
                await asyncio.sleep(0.001)

        await asyncio.gather(*map(client, range(clients)))


@pytest.mark.parametrize("clients", [50, 200])
@pytest.mark.parametrize("read_s", [0.005, 0.1, 0.4, 1.5])
@pytest.mark.parametrize("reads", [1, 3])
def test_nobody_times_out_however_slow_reads_are(clients: int, read_s: float, reads: int) -> None:
    cold = Cold(read_s=read_s, reads=reads)
    on_virtual_time(cold.serve(clients, requests=5))
    assert cold.outcomes["timed out"] == 0
    assert cold.outcomes.total() == clients * 5
    assert cold.most == AT_ONCE
    assert cold.slowest_s <= PATIENCE_S + reads * read_s + 0.01
    assert cold.queue.waiting == 0
    if clients * read_s * reads / AT_ONCE < PATIENCE_S * 0.8:
        assert cold.outcomes["refused"] == 0, "there is room for all"
    # What is refused costs no turn: as much is answered as there is room for.
    assert cold.outcomes["answered"] >= AT_ONCE


def test_requests_are_answered_in_the_order_of_their_arrival() -> None:
    cold = Cold(read_s=0.05, reads=3)
    on_virtual_time(cold.serve(50, requests=4))
    first = cold.began[:50]
    assert first == sorted(first)
    assert cold.outcomes == {"answered": 200}


def test_a_request_that_reads_again_goes_before_those_that_came_after_it() -> None:
    order: list[str] = []

    async def scenario() -> None:
        queue = ReadQueue(at_once=1, patience_s=60, clock=LoopClock())
        await asyncio.sleep(1)

        async def reads(name: str, arrived: float, times: int) -> None:
            ARRIVED_AT.set(arrived)
            for _ in range(times):
                async with queue.turn():
                    order.append(name)
                    await asyncio.sleep(1)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reads("first", 0.0, 3))
            for n in range(3):
                tasks.create_task(reads(f"later {n}", 0.1, 1))

    on_virtual_time(scenario())
    # Each time it asks when it has just handed over its turn.
    assert order == ["first", "later 0", "first", "later 1", "first", "later 2"]


def test_who_comes_too_late_is_refused_at_once_and_who_waits_in_time() -> None:
    async def scenario() -> None:
        clock = LoopClock()
        queue = ReadQueue(at_once=1, patience_s=3, clock=clock)

        async def read(takes_s: float) -> float:
            began = clock.monotonic()
            try:
                async with queue.turn():
                    await asyncio.sleep(takes_s)
            except BusyError:
                pass
            return clock.monotonic() - began

        await read(1)  # so long a read takes
        waits = await asyncio.gather(*(read(1) for _ in range(10)))
        assert waits == [1, 2, 3, *[0] * 7]
        # One that hangs is waited for no longer than that.
        hanging = asyncio.create_task(read(8))
        await asyncio.sleep(0)
        assert await read(1) == pytest.approx(3)
        await hanging

    on_virtual_time(scenario())


def test_a_waiter_that_is_cancelled_leaves_its_place_to_others() -> None:
    async def scenario() -> None:
        queue = ReadQueue(at_once=1, patience_s=60, clock=LoopClock())
        served: list[str] = []

        async def read(name: str) -> None:
            async with queue.turn():
                served.append(name)
                await asyncio.sleep(1)

        tasks = {name: asyncio.create_task(read(name)) for name in "abcd"}
        await asyncio.sleep(0.5)
        tasks["b"].cancel()
        await asyncio.sleep(0.5)
        tasks["c"].cancel()  # whose turn has just come, or is about to
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await read("e")
        assert served in (["a", "d", "e"], ["a", "c", "d", "e"])
        assert queue.waiting == 0

    on_virtual_time(scenario())


def test_what_nobody_waits_for_arrives_when_it_asks() -> None:
    async def scenario() -> None:
        queue = ReadQueue(at_once=1, patience_s=3, clock=LoopClock())
        served: list[float] = []

        async def one() -> None:
            async with queue.turn():
                served.append(round(asyncio.get_running_loop().time() - began, 3))
                await asyncio.sleep(0.1)

        began = asyncio.get_running_loop().time()
        await asyncio.sleep(100)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(one())
        assert served == [100.0, 100.1, 100.2]

    on_virtual_time(scenario())


def test_a_key_that_asks_for_much_waits_behind_itself() -> None:
    """Two hundred reads of one key are in line when ten of another come: those have half of the turns at once."""

    async def run() -> None:
        queue = ReadQueue(at_once=4, patience_s=1_000, clock=LoopClock())
        ended: list[str] = []

        async def read(key: str) -> None:
            async with queue.turn():
                await asyncio.sleep(1)
            ended.append(key)

        def asked(key: str) -> asyncio.Task[None]:
            context = copy_context()
            context.run(ASKER.set, key)
            return asyncio.create_task(read(key), context=context)

        many = [asked("many") for _ in range(200)]
        await asyncio.sleep(0.5)
        few = [asked("few") for _ in range(10)]
        await asyncio.gather(*few)
        # Of four turns a second, two for each once those that were under way have ended.
        assert ended.count("many") <= 4 + 10 + 4
        await asyncio.gather(*many)
        assert queue.waiting == 0
        assert not queue._lines
        assert not queue._reading

    on_virtual_time(run())


def test_of_many_keys_each_has_its_turn_before_any_has_two() -> None:
    async def run() -> None:
        queue = ReadQueue(at_once=1, patience_s=1_000, clock=LoopClock())
        began: list[str] = []

        async def read(key: str) -> None:
            ASKER.set(key)
            async with queue.turn():
                began.append(key)
                await asyncio.sleep(1)

        first = asyncio.create_task(read("a"))
        await asyncio.sleep(0)
        await asyncio.gather(first, *(read_as(read, key) for key in "aaabbbccc"))
        assert began[0] == "a"
        assert [sorted(began[start : start + 3]) for start in (1, 4, 7)] == [["a", "b", "c"]] * 3

    on_virtual_time(run())


def read_as(read: Any, key: str) -> "asyncio.Task[None]":
    return asyncio.create_task(read(key), context=Context())
