"""What an audit finds on PostgreSQL and Redis after somebody wrote past the service."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.__main__ import main
from app.config.settings import Role, Settings
from app.core.audit import AuditReport
from app.core.errors import TransientError
from app.core.models import Batch
from storage.stores import Stores
from tests.rows import edge, entity, point, prop, user

pytestmark = pytest.mark.integration

GRACE_S = 0.1
PEOPLE = 30


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """Without the role `web`, so that Redis alone is audited."""
    opened = await Stores.open(settings.model_copy(update={"roles": [Role.CDC]}))
    yield opened
    await opened.close()


async def fill(stores: Stores) -> dict[str, int]:
    """A cached graph and cached look-ups; returns ids by reference."""
    await stores.writer.write(
        Batch(
            properties=[prop(f"p{n}", "doc", json.dumps({"number": n})) for n in range(PEOPLE)],
            edges=[edge("p0", f"p{n}") for n in range(1, PEOPLE)],
            temporal=[point("p1", "tpv", '{"n": 1}')],
        )
    )
    ids = {}
    for n in range(PEOPLE):
        answer = await stores.reader.by_reference(user(f"p{n}"), depth=1, since=None)
        assert answer is not None
        ids[f"p{n}"] = json.loads(answer.body or b"")["id"]
    for value in ("3", "3.0", "three", "4"):
        await find(stores, value)
    return ids


async def find(stores: Stores, value: str) -> list[str]:
    answer = await stores.reader.by_property("doc.number", value, depth=1, since=None, limit=9, after=0)
    return [tree["reference"] for tree in json.loads(answer.body or b"")]


async def audit(stores: Stores, *, repair: bool = False) -> AuditReport:
    return await stores.auditor.audit(sample=1_000, grace_s=GRACE_S, repair=repair)


def named(report: AuditReport) -> Counter[tuple[str, str]]:
    return Counter((found.kind, found.subject) for found in report.mismatches)


async def set_number(db: Any, entity_id: int, number: int) -> None:
    """Past the service, which tells no cache."""
    await db.execute(
        "UPDATE entities SET properties = jsonb_set(properties, '{doc,value,number}', $2::text::jsonb) WHERE id = $1",
        entity_id,
        str(number),
    )


async def test_what_the_service_wrote_is_never_stale(stores: Stores) -> None:
    await fill(stores)
    await stores.writer.write(
        Batch(properties=[prop("p3", "doc", '{"number": 4}', 1)], edges=[edge("p1", "p2")])
    )
    assert (await find(stores, "3"), await find(stores, "4")) == ([], ["p3", "p4"])
    report = await audit(stores)
    # `3` and `3.0` share a key. Of the two that were written and not read again no fragment is left: p1.
    assert report.checked == {"fragment": PEOPLE - 1, "property": 3, "reference": PEOPLE}
    assert (report.mismatches, report.repaired) == ([], False)


async def test_each_entry_that_a_foreign_write_made_old_is_named_and_no_other(
    stores: Stores, db: Any
) -> None:
    ids = await fill(stores)
    before = await stores.position()
    await set_number(db, ids["p3"], 4)
    report = await audit(stores)
    # Look-ups of 3 and of 4 have the same path.
    assert named(report) == {("fragment", str(ids["p3"])): 1, ("property", "doc.number"): 2}
    assert before is not None
    for found in report.mismatches:
        assert found.cached_position <= before < found.primary_position
        assert found.level == "redis"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM edges WHERE right_entity_id = $1",
        "UPDATE temporal_properties SET value = '{\"n\": 2}' WHERE entity_id = $1",
    ],
)
async def test_edges_and_points_are_compared(stores: Stores, db: Any, statement: str) -> None:
    ids = await fill(stores)
    await db.execute(statement, ids["p1"])
    owner = "p0" if "edges" in statement else "p1"
    assert named(await audit(stores)) == {("fragment", str(ids[owner])): 1}


async def test_what_was_deleted_or_renamed_is_stale_by_reference(stores: Stores, db: Any) -> None:
    ids = await fill(stores)
    await db.execute("UPDATE entities SET reference = 'x' WHERE id = $1", ids["p5"])
    await stores.reader.by_reference(user("nobody"), depth=1, since=None)
    await db.execute("UPDATE entities SET reference = 'nobody' WHERE id = $1", ids["p6"])
    # p5 and p6 under their old names, and nobody, who is p6 now.
    assert named(await audit(stores)) == {
        ("fragment", str(ids["p5"])): 1,
        ("fragment", str(ids["p6"])): 1,
        ("reference", "user"): 3,
    }


async def audit_while(stores: Stores, act: Callable[[], Awaitable[object]]) -> AuditReport:
    """Audit, with `act` happening after the grace and before the second look."""
    auditor = stores.auditor
    look_again = auditor._still_stale

    async def act_and_look(suspects: Any) -> Any:
        await act()
        return await look_again(suspects)

    auditor._still_stale = act_and_look
    try:
        return await audit(stores)
    finally:
        auditor._still_stale = look_again


async def test_a_write_in_flight_is_not_reported(stores: Stores) -> None:
    ids = await fill(stores)
    committed, held = asyncio.Event(), asyncio.Event()
    invalidate = stores.cache.invalidate

    async def late(keys: Any, position: int) -> bool:
        committed.set()
        await held.wait()
        return await invalidate(keys, position)

    stores.cache.invalidate = late  # type: ignore[method-assign]
    write = asyncio.create_task(
        stores.writer.write(Batch(properties=[prop("p3", "doc", '{"number": 4}', 1)]))
    )
    await asyncio.wait_for(committed.wait(), 5)
    # It is committed and nobody was told: for as long as that lasts, it is stale indeed.
    assert named(await audit(stores))[("fragment", str(ids["p3"]))] == 1

    async def tell() -> None:
        held.set()
        await write

    assert not (await audit_while(stores, tell)).mismatches


async def test_what_was_read_again_in_the_grace_is_another_entry(stores: Stores, db: Any) -> None:
    ids = await fill(stores)
    await db.execute("DELETE FROM temporal_properties")

    async def refill_and_write_again() -> None:
        assert not await stores.auditor._invalidator.drop([stores.auditor._keys.fragment(ids["p1"])], 0)
        await stores.reader.graph(ids["p1"], depth=1, since=None)
        await db.execute("UPDATE entities SET properties = '{}' WHERE id = $1", ids["p1"])

    # The refill is old, too; nobody can say yet whether it will stay.
    assert not (await audit_while(stores, refill_and_write_again)).mismatches
    assert named(await audit(stores)) == {("fragment", str(ids["p1"])): 1}


async def test_what_the_primary_says_again_is_not_reported(stores: Stores, db: Any) -> None:
    ids = await fill(stores)
    await set_number(db, ids["p3"], 4)
    assert not (await audit_while(stores, lambda: set_number(db, ids["p3"], 3))).mismatches


async def test_only_a_suspect_is_waited_for(stores: Stores, db: Any) -> None:
    ids = await fill(stores)
    started = asyncio.get_running_loop().time()
    assert not (await stores.auditor.audit(sample=1_000, grace_s=60)).mismatches
    assert asyncio.get_running_loop().time() - started < 30
    await set_number(db, ids["p3"], 4)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stores.auditor.audit(sample=1_000, grace_s=60), 1)


async def test_a_cache_that_is_away_is_no_clean_one(settings: Settings) -> None:
    away = settings.model_copy(update={"roles": [Role.CDC], "redis_nodes": ["127.0.0.1:1"]})
    stores = await Stores.open(away)
    try:
        with pytest.raises(TransientError):
            await audit(stores)
    finally:
        await stores.close()


async def test_repair_heals(stores: Stores, db: Any) -> None:
    ids = await fill(stores)
    await set_number(db, ids["p3"], 4)
    assert (await find(stores, "3"), await find(stores, "4")) == (["p3"], ["p4"])
    report = await audit(stores, repair=True)
    assert (len(report.mismatches), report.repaired) == (3, True)
    assert (await find(stores, "3"), await find(stores, "4")) == ([], ["p3", "p4"])
    again = await audit(stores)
    assert (again.checked["fragment"], again.mismatches) == (PEOPLE, [])


async def test_memory_is_audited_and_healed_too(settings: Settings, db: Any) -> None:
    stores = await Stores.open(settings)
    try:
        await stores.writer.write(Batch(entities=[entity("a")]))
        async with asyncio.timeout(30):
            while not len(stores.invalidator._memory):
                await stores.reader.by_reference(user("a"), depth=1, since=None)
                await asyncio.sleep(0.02)
        await db.execute("UPDATE entities SET properties = '{}', updated_at = now() + interval '1 hour'")
        report = await audit(stores, repair=True)
        assert sorted(found.level for found in report.mismatches) == ["memory", "redis"]
        answer = await stores.reader.by_reference(user("a"), depth=1, since=None)
        assert answer is not None
        assert answer.cache == "miss"
        assert not (await audit(stores)).mismatches
    finally:
        await stores.close()


async def test_a_sample_is_no_larger_than_asked_for_and_by_chance(stores: Stores) -> None:
    await fill(stores)
    level = stores.auditor._levels[0]
    samples = [[key.name for key in await level.keys(5)] for _ in range(20)]
    assert {len(set(sample)) for sample in samples} == {5}
    assert len({name for sample in samples for name in sample}) > 20


async def test_the_command_names_what_is_stale_and_no_value(
    stores: Stores,
    settings: Settings,
    db: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ids = await fill(stores)
    monkeypatch.setattr("app.commands.audit.Settings", lambda: settings)

    async def run(*arguments: str) -> tuple[int, list[str], str]:
        code = await asyncio.to_thread(main, ["audit", "--grace", str(GRACE_S), *arguments])
        told = capsys.readouterr()
        return code, told.out.splitlines(), told.err

    clean = (
        f"{2 * PEOPLE + 3} entries compared (fragment {PEOPLE}, property 3, reference {PEOPLE}), 0 stale.\n"
    )
    assert await run() == (0, [], clean)
    await db.execute("UPDATE entities SET reference = 'secret' WHERE id = $1", ids["p7"])
    code, lines, summary = await run("--repair")
    assert code == 1
    assert [line.split(" in redis: cached at ")[0] for line in sorted(lines)] == [
        f"fragment {ids['p7']}",
        "reference user",
    ]
    assert "secret" not in "".join(lines)
    assert "p7" not in "".join(lines)
    assert summary.endswith("2 stale, all of them dropped.\n")
    assert (await run())[0] == 0
