"""What the ledger of erasures says to those who hold copies outside of the database."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from app.core.erasure import Named
from storage.postgres.errors import translated
from storage.postgres.queries import query
from storage.write.erasure_ledger import ErasureLedger


class PostgresErasureRegister:
    """Implements app.ports.erasure.ErasureRegister on the primary."""

    def __init__(self, pool: asyncpg.Pool, ledger: ErasureLedger, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._ledger = ledger
        self._acquire_timeout_s = acquire_timeout_s

    async def unchecked(self) -> Mapping[str, datetime]:
        rows = await self._fetch("unchecked_erasures")
        return {row["subject"].hex(): row["erased_at"] for row in rows}

    async def erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        ledger = self._ledger
        keys = {key: ledger.subject(key) for each in named for key in each.keys}
        references = {text: ledger.subject_of_reference(text) for each in named for text in each.references}
        ids = {number: ledger.subject_of_id(number) for each in named for number in each.ids}
        rows = await self._fetch(
            "erasures_named", list(keys.values()), list(references.values()), list(ids.values())
        )
        if not rows:
            return [frozenset()] * len(named)
        by_key = {row["subject"]: row for row in rows}
        by_reference: dict[bytes, list[asyncpg.Record]] = {}
        for row in rows:
            by_reference.setdefault(row["reference_subject"], []).append(row)
        by_id = {row["id_subject"]: row for row in rows}

        def erased(each: Named) -> frozenset[str]:
            told = [by_key[keys[key]] for key in each.keys if keys[key] in by_key]
            told += [row for text in each.references for row in by_reference.get(references[text], ())]
            found = [row for row in told if each.told_at <= row["erased_at"]]
            found += [by_id[ids[number]] for number in each.ids if ids[number] in by_id]
            return frozenset(row["subject"].hex() for row in found)

        return [erased(each) for each in named]

    async def note_letters(self, checked: Mapping[str, datetime], letters: Mapping[str, int]) -> None:
        await self._fetch(
            "note_letters",
            [bytes.fromhex(ledger_id) for ledger_id in checked],
            list(checked.values()),
            [letters.get(ledger_id, 0) for ledger_id in checked],
        )

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                rows: list[asyncpg.Record] = await connection.fetch(query(name), *arguments)
                return rows
