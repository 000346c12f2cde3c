"""The ledger of erasures, carried into a database that was restored from before them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

import storage.erasure.transfer
from app.config.settings import Settings
from app.core.erasure import LedgerEntry, Taken
from app.core.errors import FatalError
from app.core.models import Batch, EntityKey, RecordSource
from app.erasure.ledger_file import end_of, line_of
from infra.settings import InfraSettings
from storage.postgres.queries import query
from storage.stores import Stores
from tests.e2e.workers import ROOT, environment
from tests.integration.storage.test_erasure import after, count, everything, references
from tests.rows import edge, entity, prop, user
from tests.stack import drop_database, to_database, with_primary

pytestmark = pytest.mark.integration

OLD = datetime.now(UTC) - timedelta(hours=1)


@dataclass(frozen=True)
class Worlds:
    """The database that was lost, and one that was restored from a backup in which `a`, `b` and `c` are."""

    lost: Stores
    restored: Stores
    of_lost: Settings
    of_restored: Settings
    db: Any  # a connection to the restored one

    async def take(self, **options: Any) -> dict[str, str]:
        """What became of each entry, by ledger id."""
        return outcomes(await taken(self.restored, await ledger(self.lost), **options))


async def taken(stores: Stores, entries: list[LedgerEntry], **options: Any) -> list[Taken]:
    return [each async for batch in stores.erasure_transfer.take(entries, **options) for each in batch]


async def ledger(stores: Stores) -> list[LedgerEntry]:
    return [each async for each in stores.erasure_transfer.entries()]


def outcomes(found: list[Taken]) -> dict[str, str]:
    assert len({each.ledger_id for each in found}) == len(found)
    return {each.ledger_id: each.outcome for each in found}


async def erase(stores: Stores, *references: str) -> list[str]:
    """The ledger ids."""
    receipts = [await stores.eraser.erase(user(reference)) for reference in references]
    assert all(receipts)
    return [receipt.ledger_id for receipt in receipts if receipt is not None]


@pytest.fixture
async def worlds(settings: Settings, postgres_stack: InfraSettings, run_id: str) -> AsyncIterator[Worlds]:
    here = settings.model_copy(update={"postgres_replica_dsns": []})
    stores = await Stores.open(here)
    await stores.writer.write(everything(OLD))
    await stores.close()

    name = f"restored_{run_id}"
    dsn = urlsplit(here.postgres_dsn.get_secret_value())
    server = await asyncpg.connect(postgres_stack.postgres_dsn(database="postgres"))
    await server.execute(f"CREATE DATABASE {name} TEMPLATE {dsn.path[1:]}")
    await server.close()
    there = with_primary(here, to_database(name)).model_copy(update={"cache_prefix": f"{here.cache_prefix}r"})
    lost, restored = await Stores.open(here), await Stores.open(there)
    db = await asyncpg.connect(there.postgres_dsn.get_secret_value())
    yield Worlds(lost=lost, restored=restored, of_lost=here, of_restored=there, db=db)
    await db.close()
    await restored.close()
    await lost.close()
    await drop_database(postgres_stack, name)


async def test_who_was_erased_since_the_backup_stays_erased(worlds: Worlds) -> None:
    (erased,) = await erase(worlds.lost, "a")
    assert await references(worlds.db) == {"a", "b", "c"}

    (told,) = await taken(worlds.restored, await ledger(worlds.lost))

    assert (told.ledger_id, told.outcome) == (erased, "erased")
    assert (told.properties, told.edges, told.points) == (1, 2, 1)
    assert await references(worlds.db) == {"b", "c"}
    assert (await count(worlds.db, "edges"), await count(worlds.db, "temporal_properties")) == (0, 0)
    # The replay of what was told before brings nobody back; what is told after does.
    assert not await worlds.restored.writer.write(everything(told.erased_at))
    assert await references(worlds.db) == {"b", "c"}
    await worlds.restored.writer.write(everything(after(told.erased_at)))
    assert await references(worlds.db) == {"a", "b", "c"}


async def test_what_lay_in_the_topics_stays_out_after_a_restore_though_it_is_stamped_ahead(
    worlds: Worlds,
) -> None:
    assert await worlds.lost.eraser.erase(user("a"), log_ends={"t": [10]}) is not None
    (told,) = await taken(worlds.restored, await ledger(worlds.lost))
    ahead = told.erased_at + timedelta(minutes=30)
    before, later = (
        Batch(entities=[entity("a", ahead)._replace(source=RecordSource("t", 0, offset))])
        for offset in (9, 10)
    )
    assert not await worlds.restored.writer.write(before)
    assert await worlds.restored.writer.write(later)


async def test_the_receipt_is_that_of_then(worlds: Worlds) -> None:
    receipt = await worlds.lost.eraser.erase(user("a"))
    assert receipt is not None
    await worlds.lost.erasures.note_letters({receipt.ledger_id: receipt.erased_at}, {receipt.ledger_id: 3})
    await worlds.take()
    again = await worlds.restored.eraser.erase(user("a"))
    assert again is not None
    assert (again.erased_at, again.edges, again.letters) == (receipt.erased_at, 2, 3)
    # Letters may have been restored too, or written by a replay meanwhile.
    assert again.letters_checked_at is None
    assert await worlds.restored.erasures.unchecked() == {receipt.ledger_id: receipt.erased_at}


async def test_taken_again_it_does_nothing(worlds: Worlds) -> None:
    await erase(worlds.lost, "a")
    await worlds.take()
    before = await worlds.db.fetch("SELECT * FROM erasures")
    await worlds.restored.writer.write(everything(datetime.now(UTC)))  # told anew
    assert await worlds.take() == {}
    assert await references(worlds.db) == {"a", "b", "c"}
    assert await worlds.db.fetch("SELECT * FROM erasures") == before


async def test_who_was_told_anew_before_the_backup_is_left_alone(worlds: Worlds) -> None:
    """The backup's ledger has the erasure, and the entity that was told after it."""
    (erased,) = await erase(worlds.restored, "a")
    entries = await ledger(worlds.restored)
    await worlds.restored.writer.write(everything(datetime.now(UTC)))
    assert await taken(worlds.restored, entries) == []
    assert await references(worlds.db) == {"a", "b", "c"}
    # Erased again after the backup, it goes.
    (entry,) = entries
    assert outcomes(await taken(worlds.restored, [later(entry)])) == {erased: "erased"}
    assert await references(worlds.db) == {"b", "c"}


def later(entry: LedgerEntry) -> LedgerEntry:
    return replace(entry, erased_at=datetime.now(UTC))


async def test_an_older_date_changes_nothing(worlds: Worlds) -> None:
    await erase(worlds.lost, "a")
    (older,) = await ledger(worlds.lost)
    await erase(worlds.restored, "a")
    before = await worlds.db.fetchval("SELECT erased_at FROM erasures")
    await worlds.restored.writer.write(everything(datetime.now(UTC)))
    assert await taken(worlds.restored, [older]) == []
    assert await worlds.db.fetchval("SELECT erased_at FROM erasures") == before
    assert await references(worlds.db) == {"a", "b", "c"}


async def test_who_was_made_after_the_erasure_is_kept_unless_a_replay_made_them(worlds: Worlds) -> None:
    """Workers ran before the import: whether it was told anew or replayed, the rows don't tell."""
    await worlds.lost.writer.write(Batch(properties=[prop("late", "f", "1", told_at=OLD)]))
    (erased,) = await erase(worlds.lost, "late")
    restored_at = datetime.now(UTC)
    await asyncio.sleep(0.01)
    await worlds.restored.writer.write(Batch(properties=[prop("late", "f", "1", told_at=OLD)]))

    assert await worlds.take() == {erased: "kept"}
    assert "late" in await references(worlds.db)
    assert await worlds.take(made_since=restored_at) == {erased: "erased"}
    assert await references(worlds.db) == {"a", "b", "c"}
    assert await worlds.take(made_since=restored_at) == {}


async def test_many_in_batches_and_broken_off_between(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage.erasure.transfer, "_BATCH", 3)
    monkeypatch.setattr(storage.erasure.transfer, "_PAGE", 4)
    names = [f"u{number}" for number in range(20)]
    told = Batch(properties=[prop(name, "f", "1", told_at=OLD) for name in names])
    for stores in (worlds.lost, worlds.restored):
        await stores.writer.write(told)
    erased = set(await erase(worlds.lost, *names[:17]))

    taking = worlds.restored.erasure_transfer.take(later_all(await ledger(worlds.lost)))
    first = {each.ledger_id for _ in range(2) for each in await anext(taking)}
    await taking.aclose()  # type: ignore[attr-defined]
    assert len(await references(worlds.db)) == 23 - 6, "two batches were committed"

    rest = outcomes(await taken(worlds.restored, later_all(await ledger(worlds.lost))))
    assert first | rest.keys() == erased
    assert await references(worlds.db) == {"a", "b", "c", *names[17:]}
    assert await count(worlds.db, "erasures") == 17


DATE = datetime.now(UTC) + timedelta(days=1)  # however long the tests before this one take


def later_all(entries: list[LedgerEntry]) -> list[LedgerEntry]:
    """As of after this test's rows, which the restored database wrote later than the other one erased."""
    return [replace(entry, erased_at=DATE) for entry in entries]


async def test_a_flush_that_is_open_hides_nobody(worlds: Worlds, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entity gets an id before the search, and becomes visible after it."""
    await worlds.lost.writer.write(Batch(properties=[prop("late", "f", "1", told_at=OLD)]))
    (erased,) = await erase(worlds.lost, "late")
    entries = later_all(await ledger(worlds.lost))
    flush = worlds.db.transaction()
    await flush.start()
    await worlds.db.execute("SELECT begin_flush()")
    await worlds.db.execute("INSERT INTO entities (type, reference) VALUES ('user', 'late')")
    await worlds.restored.writer.write(Batch(properties=[prop("other", "f", "1")]))  # a higher id
    taking = asyncio.create_task(taken(worlds.restored, entries))
    await asyncio.sleep(0.3)
    assert not taking.done()
    await flush.commit()
    assert outcomes(await taking) == {erased: "erased"}


async def test_ids_that_are_given_again_hinder_no_erasure(worlds: Worlds) -> None:
    """After a restore the sequence of ids goes on where the backup was."""
    await worlds.lost.writer.write(Batch(properties=[prop("x", "f", "1", told_at=OLD)]))
    given = await erase(worlds.lost, "x")
    assert await worlds.take() == dict.fromkeys(given, "noted")
    await worlds.restored.writer.write(Batch(properties=[prop("y", "f", "1")]))  # has the id of x
    assert await worlds.restored.eraser.erase(user("y")) is not None
    assert await worlds.restored.eraser.erase(EntityKey("user", "x")) is not None


async def test_neighbours_in_caches_are_told(worlds: Worlds) -> None:
    for _ in range(2):
        answer = await worlds.restored.reader.by_reference(user("c"), depth=1, since=None)
    assert answer is not None
    assert b'"reference":"a"' in answer.body
    await erase(worlds.lost, "a")
    await worlds.take()
    answer = await worlds.restored.reader.by_reference(user("c"), depth=1, since=None)
    assert answer is not None
    assert b'"reference":"a"' not in answer.body


async def test_caches_are_told_when_only_the_commit_was_heard_of(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    await worlds.restored.reader.by_reference(user("c"), depth=1, since=None)
    await erase(worlds.lost, "a")
    entries = await ledger(worlds.lost)
    with monkeypatch.context() as patched:
        patched.setattr(
            storage.erasure.transfer,
            "query",
            lambda name: "COMMIT_LOST" if name == "flush_position" else query(name),
        )
        with pytest.raises(FatalError):
            await taken(worlds.restored, entries)
    assert await references(worlds.db) == {"b", "c"}
    answer = await worlds.restored.reader.by_reference(user("c"), depth=1, since=None)
    assert answer is not None
    assert b'"reference":"a"' not in answer.body


async def test_entries_of_another_key_are_refused_and_nothing_is_changed(worlds: Worlds) -> None:
    await erase(worlds.lost, "a")
    (entry,) = await ledger(worlds.lost)
    with pytest.raises(FatalError, match="under another key: set PROFILE_ERASURE_KEY"):
        await taken(worlds.restored, [entry, replace(entry, key_fingerprint="00" * 8)])
    assert await references(worlds.db) == {"a", "b", "c"}
    assert await count(worlds.db, "erasures") == 0


async def test_the_command_carries_it_and_says_so_to_the_audit_log(worlds: Worlds) -> None:
    async def run(stores: Settings, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app", "erasures", *arguments),
            cwd=ROOT,
            env=environment(stores, PROFILE_LOG_FORMAT="json"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate(stdin)
        assert process.returncode is not None
        return process.returncode, out.decode(), error.decode()

    (erased,) = await erase(worlds.lost, "a")
    code, lines, told = await run(worlds.of_lost, "export")
    assert (code, lines.count("\n")) == (0, 2)
    assert "user" not in lines
    assert "1 erasures written" in told

    code, _, told = await run(worlds.of_restored, "import", "-", stdin=lines.splitlines()[0].encode())
    assert (code, "not the end of an export" in told) == (1, True)
    assert await count(worlds.db, "erasures") == 0

    code, _, told = await run(worlds.of_restored, "import", "-", stdin=lines.encode())
    assert code == 0, told
    (line,) = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
    assert (line["event"], line["ledger_id"], line["outcome"]) == ("erasure_imported", erased, "erased")
    assert (line["logger"], line["relationships"]) == ("audit", 2)
    assert "0 noted, 1 erased, 0 kept" in told
    assert await references(worlds.db) == {"b", "c"}

    # As the audit log and the receipts tell it: an entry without its hashes and counts.
    (other,) = await erase(worlds.lost, "b")
    date = next(entry.erased_at for entry in await ledger(worlds.lost) if entry.ledger_id == other)
    partial = json.dumps({"event": "entity_erased", "ledger_id": other, "erased_at": date.isoformat()})
    code, _, told = await run(worlds.of_restored, "import", "--partial", "-", stdin=partial.encode())
    assert code == 0, told
    assert await references(worlds.db) == {"c"}


async def test_who_has_more_rows_than_a_piece_is_hidden_and_deleted_afterwards(worlds: Worlds) -> None:
    """The room of a transaction is shared by its entries, so small ones are hidden, too, where it is used up."""
    for stores in (worlds.lost, worlds.restored):
        await stores.writer.write(
            Batch(edges=[edge("hub", f"n{n}")._replace(told_at=OLD) for n in range(120)])
        )
    ledger_ids = await erase(worlds.lost, "hub", "a")
    stores = await Stores.open(
        worlds.of_restored.model_copy(update={"erasure_piece_rows": 50, "erasure_rows_per_s": 1_000_000})
    )
    told = {each.ledger_id: each for each in await taken(stores, await ledger(worlds.lost))}
    hub, small = (told[each] for each in ledger_ids)
    assert (hub.outcome, hub.deleting, hub.edges) == ("erased", True, 0)
    assert (small.outcome, small.deleting, small.edges) == ("erased", False, 2)
    assert not {"hub", "a"} & await references(worlds.db)
    while await stores.deletions.piece():
        pass
    assert await count(worlds.db, "edges") == 0
    receipt = await stores.eraser.receipt(hub.ledger_id)
    assert receipt is not None
    assert (receipt.edges, receipt.erased_at) == (120, hub.erased_at)
    assert not await stores.writer.write(Batch(edges=[edge("hub", "n1")._replace(told_at=OLD)]))
    await stores.close()


async def test_the_command_deletes_to_the_end(worlds: Worlds) -> None:
    await worlds.restored.writer.write(
        Batch(edges=[edge("a", f"n{n}")._replace(told_at=OLD) for n in range(120)])
    )
    await erase(worlds.lost, "a")
    lines = [line_of(entry) for entry in await ledger(worlds.lost)]
    imported = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "erasures", "import", "-"),
        cwd=ROOT,
        env=environment(worlds.of_restored, PROFILE_ERASURE_PIECE_ROWS="50"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await imported.communicate("\n".join([*lines, end_of(len(lines))]).encode())
    assert imported.returncode == 0, told
    assert b"1 erased" in told
    assert await count(worlds.db, "edges") == 0
    assert "a" not in await references(worlds.db)
    assert await worlds.db.fetchval("SELECT count(*) FROM entity_deletions WHERE entity_id IS NULL") == 1
