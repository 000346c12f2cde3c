"""The change feed on a topic in memory: resuming, bounds, outages."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import pytest

from app.core.domain_event import DomainEvent
from app.core.errors import BusyError, InvalidError, TransientError
from app.core.signing import Signer
from app.feed import cursor as event_cursor
from app.feed.feed import ChangeFeed
from app.ports.events import EventStream, StreamEndedError
from tests.unit.app.feed.event_log import Topic


@pytest.fixture
def topic() -> Topic:
    return Topic()


SIGNER = Signer(b"s" * 32)


@pytest.fixture
async def feed(topic: Topic) -> AsyncIterator[ChangeFeed]:
    feed = made(topic)
    yield feed
    await feed.close()


def made(
    topic: Topic, *, max_streams: int = 10, max_events: int = 1_000, max_bytes: int = 1 << 20
) -> ChangeFeed:
    return ChangeFeed(
        "t",
        topic.reader,
        signer=SIGNER,
        max_streams=max_streams,
        max_events=max_events,
        max_bytes=max_bytes,
        catching_up=1,
    )


def everything(_: DomainEvent) -> bool:
    return True


def number(event: DomainEvent) -> int:
    found: int = json.loads(event.body)["n"]
    return found


async def read(stream: EventStream, count: int, *, within_s: float = 2) -> list[int]:
    """So many events."""
    found: list[int] = []
    async with asyncio.timeout(within_s):
        while len(found) < count:
            event = stream.take(everything)
            if event is None:
                await stream.wait(0.1)
            else:
                found.append(number(event))
    return found


async def nothing_comes(stream: EventStream) -> None:
    for _ in range(3):
        assert stream.take(everything) is None
        await stream.wait(0.02)


async def test_tells_what_comes_from_now_on(feed: ChangeFeed, topic: Topic) -> None:
    topic.tell(1)
    async with feed.follow(None) as stream:
        topic.tell(2)
        topic.tell(3, partition=1)
        assert await read(stream, 2) == [2, 3]
        await nothing_comes(stream)


async def test_what_is_not_wanted_is_passed_over_and_counts_as_read(feed: ChangeFeed, topic: Topic) -> None:
    async with feed.follow(None) as stream:
        for n in range(5):
            topic.tell(n)
        await asyncio.sleep(0.05)
        event = stream.take(lambda event: number(event) == 3)
        assert event is not None
        assert number(event) == 3
        assert event_cursor.decode(SIGNER, "t", stream.cursor) == {0: 4, 1: 0}


async def test_one_reader_for_all_and_none_for_nobody(feed: ChangeFeed, topic: Topic) -> None:
    async with feed.follow(None) as one, feed.follow(None) as other:
        topic.tell(1)
        assert await read(one, 1) == await read(other, 1) == [1]
        assert (topic.made, topic.open) == (1, 1)
    assert topic.open == 0
    async with feed.follow(None):
        assert (topic.made, topic.open) == (2, 1)
    assert topic.open == 0


@pytest.mark.parametrize("someone_else_follows", [False, True])
async def test_each_event_comes_once_however_often_the_client_comes_back(
    feed: ChangeFeed, topic: Topic, someone_else_follows: bool
) -> None:
    async with feed.follow(None) as stream:
        cursor = stream.cursor
        if someone_else_follows:  # so that the ring lives on
            other = asyncio.create_task(follow_for_ever(feed))
        told = 0
    found: list[int] = []
    for _ in range(20):
        for _ in range(7):
            topic.tell(told, partition=told % 2)
            told += 1
        async with feed.follow(cursor) as stream:
            found += await read(stream, 5)
            cursor = stream.cursor
    async with feed.follow(cursor) as stream:
        found += await read(stream, told - len(found))
        await nothing_comes(stream)
    assert sorted(found) == list(range(told))
    for partition in (0, 1):
        mine = [n for n in found if n % 2 == partition]
        assert mine == sorted(mine)
    if someone_else_follows:
        other.cancel()


async def follow_for_ever(feed: ChangeFeed) -> None:
    async with feed.follow(None) as stream:
        while True:
            stream.take(everything)
            await stream.wait(1)


async def test_who_was_away_for_long_reads_the_topic_and_then_the_ring(topic: Topic) -> None:
    feed = made(topic, max_events=5)
    async with feed.follow(None) as stream:
        cursor = stream.cursor
        for n in range(40):
            topic.tell(n, partition=n % 2)
        await asyncio.sleep(0.1)  # the ring has five of them
        async with feed.follow(cursor) as returned:
            assert topic.open == 2
            assert sorted(await read(returned, 40)) == list(range(40))
            await returned.wait(0.1)
            assert topic.open == 1
            topic.tell(40)
            assert await read(returned, 1) == [40]
            await nothing_comes(returned)
    await feed.close()


async def test_catching_up_while_more_comes_loses_nothing(topic: Topic) -> None:
    feed = made(topic, max_events=8)
    for n in range(30):
        topic.tell(n, partition=n % 2)
    begin = event_cursor.encode(SIGNER, "t", {0: 0, 1: 0})

    async def more() -> None:
        for n in range(30, 230):
            topic.tell(n, partition=n % 2)
            await asyncio.sleep(0)

    async with feed.follow(begin) as stream:
        telling = asyncio.create_task(more())
        assert sorted(await read(stream, 230)) == list(range(230))
        await nothing_comes(stream)
        await telling
    await feed.close()


async def test_who_is_slower_than_the_ring_is_sent_away_and_comes_back(topic: Topic) -> None:
    feed = made(topic, max_events=5)
    async with feed.follow(None) as stream:
        topic.tell(0)
        assert await read(stream, 1) == [0]
        cursor = stream.cursor
        for n in range(1, 20):
            topic.tell(n)
        await asyncio.sleep(0.1)
        with pytest.raises(StreamEndedError, match="behind"):
            stream.take(everything)
    async with feed.follow(cursor) as stream:
        assert await read(stream, 19) == list(range(1, 20))
    await feed.close()


async def test_the_ring_is_bounded_by_bytes_too(topic: Topic) -> None:
    feed = made(topic, max_bytes=40)
    async with feed.follow(None) as stream:
        for n in range(10):
            topic.tell(n)
        await asyncio.sleep(0.1)
        with pytest.raises(StreamEndedError, match="behind"):
            stream.take(everything)
    await feed.close()


async def test_only_so_many_follow(topic: Topic) -> None:
    feed = made(topic, max_streams=1)
    async with feed.follow(None):
        with pytest.raises(BusyError, match="PROFILE_WEB_EVENT_STREAMS"):
            async with feed.follow(None):
                pass
    async with feed.follow(None):
        pass
    await feed.close()


async def test_readers_of_old_events_take_turns(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.feed.stream._TURN_S", 0.05)
    feed = made(topic, max_events=1)
    for n in range(20):
        topic.tell(n)
    begin = event_cursor.encode(SIGNER, "t", {0: 0, 1: 0})
    async with feed.follow(begin):
        with pytest.raises(BusyError):
            async with feed.follow(begin):
                pass
    async with feed.follow(begin):
        pass
    await feed.close()


async def test_what_the_topic_no_longer_has_is_told(feed: ChangeFeed, topic: Topic) -> None:
    for n in range(10):
        topic.tell(n)
    topic.oldest[0] = 6
    async with feed.follow(event_cursor.encode(SIGNER, "t", {0: 2, 1: 0})) as stream:
        assert stream.gap is not None
        assert await read(stream, 4) == [6, 7, 8, 9]
    async with feed.follow(event_cursor.encode(SIGNER, "t", {0: 6, 1: 0})) as stream:
        assert stream.gap is None


async def test_a_position_past_the_end_is_told_and_goes_on_from_now(feed: ChangeFeed, topic: Topic) -> None:
    topic.tell(0)
    async with feed.follow(event_cursor.encode(SIGNER, "t", {0: 50, 1: 0})) as stream:
        assert stream.gap is not None
        topic.tell(1)
        assert await read(stream, 1) == [1]


async def test_a_partition_that_is_new_is_read_from_its_beginning(feed: ChangeFeed, topic: Topic) -> None:
    topic.tell(0)
    topic.tell(1, partition=1)
    async with feed.follow(event_cursor.encode(SIGNER, "t", {0: 1})) as stream:
        assert stream.gap is None
        assert await read(stream, 1) == [1]


async def test_an_outage_is_told_to_who_comes_and_waited_out_by_who_is_there(
    feed: ChangeFeed, topic: Topic
) -> None:
    async with feed.follow(None) as stream:
        assert stream.waits_for is None
        topic.down = True
        async with asyncio.timeout(2):
            while stream.waits_for is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert stream.waits_for == "Kafka"
        with pytest.raises(TransientError):
            async with feed.follow(None):
                pass
        await nothing_comes(stream)
        topic.records[0].append(
            DomainEvent(partition=0, offset=0, type="", subjects=(), body=b'{"n": 7}')
        )  # while nobody could read
        topic.down = False
        async with asyncio.timeout(5):
            while stream.waits_for is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await read(stream, 1) == [7]


async def test_with_kafka_down_nobody_begins(feed: ChangeFeed, topic: Topic) -> None:
    topic.down = True
    with pytest.raises(TransientError):
        async with feed.follow(None):
            pass
    topic.down = False
    async with feed.follow(None):
        pass
    assert topic.open == 0


async def test_a_topic_that_is_made_anew_ends_streams(feed: ChangeFeed, topic: Topic) -> None:
    async with feed.follow(None) as stream:
        topic.tell(1)
        assert await read(stream, 1) == [1]
        topic.down = True
        await asyncio.sleep(0.1)
        topic.records[0].clear()
        topic.down = False
        with pytest.raises(StreamEndedError):
            await read(stream, 1, within_s=5)


async def test_the_end_reaches_who_waits(feed: ChangeFeed) -> None:
    async with feed.follow(None) as stream:
        asyncio.get_running_loop().call_later(0.02, feed.end_streams)
        with pytest.raises(StreamEndedError, match="stops"):
            async with asyncio.timeout(1):
                await stream.wait(30)
    with pytest.raises(TransientError):
        async with feed.follow(None):
            pass


def test_cursors() -> None:
    positions = {0: 0, 1: 127, 2: 128, 3: 2**62}
    cursor = event_cursor.encode(SIGNER, "t", positions)
    assert event_cursor.decode(SIGNER, "t", cursor) == positions
    assert len(event_cursor.encode(SIGNER, "t", {0: 100_000, 1: 100_000, 2: 100_000, 3: 100_000})) < 36
    for wrong in (
        "",
        "x",
        "é",
        cursor[:-1],
        "/" + cursor,
        event_cursor.encode(SIGNER, "u", positions),
        "AA" * 4_000,
    ):
        with pytest.raises(InvalidError):
            event_cursor.decode(SIGNER, "t", wrong)
    with pytest.raises(InvalidError):
        event_cursor.decode(Signer(b"o" * 32), "t", cursor)
    packed = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    packed[5] ^= 1
    with pytest.raises(InvalidError):
        event_cursor.decode(SIGNER, "t", base64.urlsafe_b64encode(packed).decode().rstrip("="))
    # What the version before gave is accepted by this one.
    unsigned = bytes([1, *packed[1:4], 7, 8])
    assert event_cursor.decode(SIGNER, "t", base64.urlsafe_b64encode(unsigned).decode()) == {0: 7, 1: 8}
