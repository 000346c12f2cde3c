import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from app.core.clock import SystemClock
from app.core.errors import FatalError, TooMuchAtOnceError, TransientError
from app.core.records import Record
from app.core.retry import RetryPolicy
from app.ingest.consumer_loop import ConsumerLoop
from app.ingest.window import WindowLimits
from tests.unit.app.fakes import FakeRecord, Terminated, terminate


@dataclass
class FakeFetch:
    name: str
    acks: list[str]
    size: int = 10
    value: Sequence[Record] = field(init=False)

    def __post_init__(self) -> None:
        self.value = [FakeRecord(value=f"{self.name}{n}".encode()) for n in range(self.size)]

    def ack(self) -> None:
        self.acks.append(self.name)


@dataclass
class FakeProcessor:
    errors: list[Exception] = field(default_factory=list)
    windows: list[list[Record]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    acks: list[str] = field(default_factory=list)
    acked_before: list[list[str]] = field(default_factory=list)

    async def process(self, records: Sequence[Record]) -> None:
        self.acked_before.append(list(self.acks))
        if self.gate is not None:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.windows.append(list(records))


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


@pytest.fixture
def processor() -> FakeProcessor:
    return FakeProcessor()


def loop_of(processor: FakeProcessor, *, linger_s: float = 3600, flush_timeout_s: float = 5) -> ConsumerLoop:
    return ConsumerLoop(
        "test",
        processor,
        limits=WindowLimits(max_records=20, max_bytes=1_000_000, linger_s=linger_s),
        retries=RetryPolicy(attempts=3, sleep=no_sleep),
        flush_timeout_s=flush_timeout_s,
        clock=SystemClock(),
        terminate=terminate,
    )


@pytest.fixture
async def loop(processor: FakeProcessor) -> AsyncIterator[ConsumerLoop]:
    made = loop_of(processor)
    made.start()
    yield made
    processor.errors.clear()
    await made.drain()


async def test_a_full_window_is_processed_and_then_acked_in_order(
    loop: ConsumerLoop, processor: FakeProcessor
) -> None:
    acks = processor.acks
    await loop.add(FakeFetch("a", acks))
    assert processor.windows == []
    await loop.add(FakeFetch("b", acks))
    assert [len(window) for window in processor.windows] == [20]
    assert processor.acked_before == [[]]
    assert acks == ["a", "b"]


async def test_records_and_windows_are_counted_once_for_all_attempts(
    loop: ConsumerLoop, processor: FakeProcessor
) -> None:
    def counted() -> tuple[float, ...]:
        asked = (
            ("profile_records_total", {"topic": "topic"}),
            ("profile_windows_total", {"agent": "test", "cause": "records"}),
            ("profile_flush_retries_total", {"agent": "test"}),
        )
        return tuple(REGISTRY.get_sample_value(name, labels) or 0 for name, labels in asked)

    before = counted()
    processor.errors = [TransientError("deadlock")]
    await loop.add(FakeFetch("a", processor.acks, size=20))
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [20, 1, 1]


async def test_time_closes_a_window_that_no_fetch_follows(processor: FakeProcessor) -> None:
    loop = loop_of(processor, linger_s=0.01)
    loop.start()
    for name in "ab":
        await loop.add(FakeFetch(name, processor.acks))
        async with asyncio.timeout(2):
            while name not in processor.acks:  # noqa: ASYNC110 - that is what is waited for
                await asyncio.sleep(0.005)
    assert len(processor.windows) == 2
    await loop.drain()


async def test_a_transient_failure_repeats_the_same_window(
    loop: ConsumerLoop, processor: FakeProcessor
) -> None:
    processor.errors = [TransientError("deadlock"), TransientError("deadlock")]
    await loop.add(FakeFetch("a", processor.acks, size=20))
    assert len(processor.acked_before) == 3
    assert [record.value for record in processor.windows[0]] == [f"a{n}".encode() for n in range(20)]
    assert processor.acks == ["a"]


@pytest.mark.parametrize(
    "errors",
    [
        [TransientError("down")] * 3,
        [FatalError("The schema is older: run migrate.")],
        [ValueError("a bug")],
        [RecursionError()],
    ],
    ids=lambda errors: type(errors[0]).__name__,
)
async def test_what_can_not_go_on_ends_the_process_without_an_ack(
    loop: ConsumerLoop,
    processor: FakeProcessor,
    errors: list[Exception],
    caplog: pytest.LogCaptureFixture,
) -> None:
    processor.errors = list(errors)
    with pytest.raises(Terminated) as ended:
        await loop.add(FakeFetch("a", processor.acks, size=20))
    assert ended.value.args == (70,)
    assert processor.acks == []
    assert "without committing" in caplog.text


async def test_a_flush_that_hangs_is_given_up(processor: FakeProcessor) -> None:
    processor.gate = asyncio.Event()
    loop = loop_of(processor, flush_timeout_s=0.01)
    with pytest.raises(Terminated):
        await loop.add(FakeFetch("a", processor.acks, size=20))
    assert len(processor.acked_before) == 3
    assert processor.acks == []


async def test_fetches_wait_while_a_flush_is_under_way(loop: ConsumerLoop, processor: FakeProcessor) -> None:
    processor.gate = asyncio.Event()
    first = asyncio.create_task(loop.add(FakeFetch("a", processor.acks, size=20)))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(loop.add(FakeFetch("b", processor.acks, size=20)))
    await asyncio.sleep(0.01)
    assert len(processor.acked_before) == 1
    processor.gate.set()
    await asyncio.gather(first, second)
    assert processor.acked_before == [[], ["a"]]
    assert processor.acks == ["a", "b"]


async def test_draining_waits_for_the_flush_of_the_timer_and_flushes_the_rest(
    processor: FakeProcessor,
) -> None:
    processor.gate = asyncio.Event()
    loop = loop_of(processor, linger_s=0.01)
    loop.start()
    await loop.add(FakeFetch("a", processor.acks))
    async with asyncio.timeout(2):
        while not processor.acked_before:  # noqa: ASYNC110 - that is what is waited for
            await asyncio.sleep(0.005)
    waiting = asyncio.create_task(loop.add(FakeFetch("b", processor.acks)))
    draining = asyncio.create_task(loop.drain())
    await asyncio.sleep(0.02)
    assert not draining.done()
    processor.gate.set()
    await asyncio.gather(waiting, draining)
    assert processor.acks == ["a", "b"]


async def test_after_draining_each_fetch_is_flushed_as_it_comes(
    loop: ConsumerLoop, processor: FakeProcessor
) -> None:
    await loop.drain()
    await loop.add(FakeFetch("late", processor.acks, size=1))
    assert processor.acks == ["late"]


async def test_the_probe_tells_a_stall(processor: FakeProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SystemClock()
    loop = loop_of(processor)
    loop._clock = clock
    (idle,) = await loop.check()
    assert (idle.ready, idle.required) == (True, True)
    processor.gate = asyncio.Event()
    flush = asyncio.create_task(loop.add(FakeFetch("a", processor.acks, size=20)))
    await asyncio.sleep(0.01)
    at = clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: at + 61)
    (stalled,) = await loop.check()
    assert not stalled.ready
    processor.gate.set()
    await flush
    (moving,) = await loop.check()
    assert moving.ready


async def test_the_probe_says_why_the_latest_attempt_failed(
    processor: FakeProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of(processor)
    seen: list[str] = []

    async def look(seconds: float) -> None:
        seen.extend(state.detail for state in await loop.check())

    loop._retries = RetryPolicy(attempts=3, sleep=look)
    processor.errors = [TransientError("PostgreSQL has no disk space left.")]
    await loop.add(FakeFetch("a", processor.acks, size=20))
    await loop.drain()
    assert len(seen) == 1
    assert seen[0].endswith("; the latest attempt failed: PostgreSQL has no disk space left.")
    assert [state.detail for state in await loop.check()] == ["idle"]


async def test_all_attempts_together_are_bounded(processor: FakeProcessor) -> None:
    processor.errors = [TransientError("down") for _ in range(100)]
    loop = ConsumerLoop(
        "test",
        processor,
        limits=WindowLimits(max_records=20, max_bytes=1_000_000, linger_s=3600),
        retries=RetryPolicy(attempts=1_000, first_pause_s=0.02, longest_pause_s=0.02),
        flush_timeout_s=0.05,
        clock=SystemClock(),
        terminate=terminate,
        window_limit_s=0.1,
    )
    acks: list[str] = []
    with pytest.raises(Terminated):
        await loop.add(FakeFetch("a", acks, size=20))
    assert acks == []


@dataclass
class NarrowProcessor(FakeProcessor):
    """Takes so many records at once; more are too much, in one of two ways."""

    capacity: int = 1
    way: str = "hangs"
    sizes: list[int] = field(default_factory=list)

    async def process(self, records: Sequence[Record]) -> None:
        self.sizes.append(len(records))
        if len(records) > self.capacity:
            if self.way == "hangs":
                await asyncio.Event().wait()
            raise TooMuchAtOnceError("It is too much at once.")
        await super().process(records)


@pytest.mark.parametrize("way", ["hangs", "says so"])
@pytest.mark.parametrize(
    ("capacity", "sizes"),
    [(20, [20]), (10, [20, 10, 10]), (6, [20, 10, 5, 5, 10, 5, 5]), (1, None)],
)
async def test_what_was_too_much_at_once_is_tried_in_halves_down_to_single_records(
    way: str, capacity: int, sizes: list[int] | None
) -> None:
    processor = NarrowProcessor(capacity=capacity, way=way)
    loop = loop_of(processor, flush_timeout_s=0.02)
    loop._retries = RetryPolicy(attempts=6, sleep=no_sleep)
    await loop.add(FakeFetch("a", processor.acks, size=20))
    assert processor.acks == ["a"]
    done = [record.value for window in processor.windows for record in window]
    assert done == [f"a{n}".encode() for n in range(20)], "in order, each once"
    if sizes is not None:
        assert processor.sizes == sizes


async def test_each_part_that_is_done_renews_the_limit_of_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = asyncio.get_running_loop()
    real, ahead = clock.time, 0.0

    class Slow(NarrowProcessor):
        async def process(self, records: Sequence[Record]) -> None:
            nonlocal ahead
            await super().process(records)
            ahead += 10.0

    monkeypatch.setattr(clock, "time", lambda: real() + ahead)
    processor = Slow(capacity=2, way="says so")
    loop = loop_of(processor)
    loop._retries = RetryPolicy(attempts=6, sleep=no_sleep)
    loop._window_limit_s = 45.0
    await loop.add(FakeFetch("a", processor.acks, size=20))
    assert len(processor.windows) > 10
    assert processor.acks == ["a"]


async def test_a_window_gets_half_of_what_it_has_left_so_that_its_halves_have_time() -> None:
    loop = loop_of(FakeProcessor(), flush_timeout_s=30)
    loop._window_limit_s = 40
    many, one = [FakeRecord(value=b"a")] * 2, [FakeRecord(value=b"a")]
    now = asyncio.get_running_loop().time()
    assert 19 < loop._time_for(many, asyncio.Timeout(now + 40)) <= 20
    assert loop._time_for(one, asyncio.Timeout(now + 40)) == 30
    assert 3 < loop._time_for(many, asyncio.Timeout(now + 8)) <= 4
    assert 7 < loop._time_for(one, asyncio.Timeout(now + 8)) <= 8
