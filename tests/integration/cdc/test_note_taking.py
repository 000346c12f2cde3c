"""Notes of what was published: those that workers keep, those of an installation from before them, and the export."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.core.errors import FatalError
from cdc.connector.config import config_of
from cdc.recovery.export import lines_of
from cdc.recovery.note_taking import NoteTaking
from cdc.recovery.published_state import Thing
from tests.integration.cdc.capture import Capture, View, edge, entity, fold, forgettable, point

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


class Meanwhile:
    """A fence at which something happens just before nobody publishes."""

    def __init__(self, capture: Capture, what: Callable[[], Awaitable[None]]) -> None:
        self._fence = capture.stores.publish_fence
        self._what = what

    @asynccontextmanager
    async def alone(self, ids: Collection[int]) -> AsyncIterator[frozenset[int]]:
        await self._what()
        async with self._fence.alone(ids) as erased:
            yield erased

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fence, name)


def taking(capture: Capture, fence: Any = None) -> NoteTaking:
    return NoteTaking(
        settings=capture.settings,
        snapshots=capture.stores.snapshots,
        register=capture.stores.published_notes,
        erasures=capture.stores.erasures,
        fence=fence or capture.stores.publish_fence,
        events=capture.sink(),
    )


async def taken(capture: Capture, fence: Any = None) -> int:
    work = taking(capture, fence)
    try:
        return await work.run()
    finally:
        await work.events.close()  # type: ignore[attr-defined]


async def things(capture: Capture) -> Mapping[bytes, Thing]:
    return {key: thing for key, (thing, _) in (await capture.notes()).things.items()}


async def test_what_was_published_before_there_were_notes_is_noted_beside_a_worker(capture: Capture) -> None:
    sql = capture.sql
    topics = capture.settings.topics
    await capture.connect.register(capture.name, config_of(capture.settings))
    stays, goes = await entity(sql, "stays"), await entity(sql, "goes")
    doomed, kept = await edge(sql, goes, stays), await edge(sql, stays, goes)
    await point(sql, stays, "2025-01")
    known = await forgettable(sql, "known", stays)
    later = await forgettable(sql, "later", stays)
    await capture.until_view_is_true()
    assert await capture.stores.eraser.erase_id(known) is not None
    await sql.execute("DELETE FROM edges WHERE id = $1", doomed)
    await capture.until_view_is_true()
    assert await capture.stores.published_notes.complete(topics.published), "nothing was published before it"
    noted = await capture.notes()
    assert b"forgotten-known" not in repr(noted.things).encode()
    assert len(noted.erasures) == 1

    await capture.forget_notes()

    async def meanwhile() -> None:
        assert await capture.stores.eraser.erase_id(later) is not None
        await sql.execute("DELETE FROM edges WHERE id = $1", kept)
        await capture.until_view_is_true()
        await sql.execute("UPDATE entities SET reference = 'renamed' WHERE id = $1", goes)
        await capture.until_view_is_true()

    assert await taken(capture, Meanwhile(capture, meanwhile)) > 0
    assert await capture.stores.published_notes.complete(topics.published)
    after = await capture.notes()
    assert set(after.things) == {
        f"entity/{stays}".encode(),
        f"entity/{goes}".encode(),
        f"point/{stays}:tpv:month:2025-01".encode(),
    }
    assert (await things(capture))[f"entity/{goes}".encode()] == ("user", "renamed")
    assert len(after.erasures) == 2
    assert await taken(capture) == 0, "all of it is noted"


async def test_events_that_ended_before_they_were_noted_are_told(capture: Capture) -> None:
    await capture.connect.register(capture.name, config_of(capture.settings))
    await entity(capture.sql, "somebody")
    await capture.until_view_is_true()
    await capture.sql.execute("DELETE FROM published_notes")
    await capture.end_events()
    with pytest.raises(FatalError, match="recover --everything"):
        await taken(capture)


async def test_a_consumer_begins_with_the_export_and_goes_on_with_the_events(capture: Capture) -> None:
    sql = capture.sql
    await capture.connect.register(capture.name, config_of(capture.settings))
    first = await entity(sql, "first")
    await edge(sql, first, await entity(sql, "second"))
    await point(sql, first, "2025-01")
    await capture.until_view_is_true()
    lines = [
        json.loads(line)
        async for line in lines_of(capture.settings, capture.stores.snapshots, capture.stores.erasures)
    ]
    head, *told, end = lines
    assert end == {"events": len(told)} == {"events": 4}
    assert sum(head["offsets"].values()) == 4
    await sql.execute("DELETE FROM edges")
    await entity(sql, "third")
    await capture.until_view_is_true()
    view: View = {}
    for line in told:
        assert line["headers"]["recovered"] == "true"
        fold(view, line["headers"]["event_type"], line["value"]["data"])
    for headers, record in await capture.events():
        if record.offset >= head["offsets"][str(record.partition)]:
            fold(view, headers["event_type"], json.loads(record.value or b"")["data"])
    assert view == await capture.truth()
