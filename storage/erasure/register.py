"""What the ledger of erasures says to those who hold copies outside of the database."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final

import asyncpg

from app.core.erasure import Named
from app.core.models import EntityKey
from storage.postgres.errors import translated
from storage.postgres.queries import query
from storage.write.erasure_ledger import ErasureLedger, erasure_of

_NAMES_AT_A_TIME: Final = 50_000
_LEFT_NAMED: Final = 20  # letters that a receipt names


class PostgresErasureRegister:
    """Implements app.ports.erasure.LetterRegister on the primary."""

    def __init__(self, pool: asyncpg.Pool, ledger: ErasureLedger, *, acquire_timeout_s: float) -> None:
        self._pool = pool
        self._ledger = ledger
        self._acquire_timeout_s = acquire_timeout_s

    async def unchecked(self) -> Mapping[str, datetime]:
        rows = await self._fetch("unchecked_erasures")
        return {row["subject"].hex(): row["erased_at"] for row in rows}

    async def erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        found: list[frozenset[str]] = []
        part: list[Named] = []
        names = 0
        # Some at a time, since a letter may name a hundred thousand.
        for each in named:
            part.append(each)
            names += len(each.keys) + len(each.references) + len(each.ids)
            if names >= _NAMES_AT_A_TIME:
                found += await self._erased_among(part)
                part, names = [], 0
        return found + (await self._erased_among(part) if part else [])

    async def note_letters(self, checked: Mapping[str, datetime], letters: Mapping[str, int]) -> None:
        await self._fetch(
            "note_letters",
            [bytes.fromhex(ledger_id) for ledger_id in checked],
            list(checked.values()),
            [letters.get(ledger_id, 0) for ledger_id in checked],
        )
        await self._fetch("forget_removed_letters")

    async def note_removed(self, about: Mapping[str, Collection[str]]) -> None:
        pairs = [(bytes.fromhex(ledger_id), letter) for letter, ids in about.items() for ledger_id in ids]
        if pairs:
            await self._fetch("note_removed_letters", *map(list, zip(*pairs, strict=True)))

    async def note_left(self, checked: Mapping[str, datetime], left: Mapping[str, Collection[str]]) -> None:
        noted = [ledger_id for ledger_id in checked if left.get(ledger_id)]
        if noted:
            await self._fetch(
                "note_letters_left",
                [bytes.fromhex(ledger_id) for ledger_id in noted],
                [checked[ledger_id] for ledger_id in noted],
                [len(left[ledger_id]) for ledger_id in noted],
                [json.dumps(sorted(left[ledger_id])[:_LEFT_NAMED]) for ledger_id in noted],
            )

    async def swept(self) -> Mapping[str, int] | None:
        rows = await self._fetch("swept_letters")
        if any(row["topic"] is None for row in rows):
            return None
        return {row["topic"]: row["next_offset"] for row in rows}

    async def note_swept(self, topic: str, next_offset: int) -> None:
        await self._fetch("note_swept_letters", topic, next_offset)

    async def _erased_among(self, named: Sequence[Named]) -> list[frozenset[str]]:
        keys, references, ids = await asyncio.to_thread(self._hashed, named)
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
            found = [row for row in told if not erasure_of(row).precedes(each.told_at, each.place)]
            found += [by_id[ids[number]] for number in each.ids if ids[number] in by_id]
            return frozenset(row["subject"].hex() for row in found)

        return [erased(each) for each in named]

    def _hashed(
        self, named: Sequence[Named]
    ) -> tuple[dict[EntityKey, bytes], dict[str, bytes], dict[int, bytes]]:
        ledger = self._ledger
        return (
            {key: ledger.subject(key) for each in named for key in each.keys},
            {text: ledger.subject_of_reference(text) for each in named for text in each.references},
            {number: ledger.subject_of_id(number) for each in named for number in each.ids},
        )

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        with translated():
            async with self._pool.acquire(timeout=self._acquire_timeout_s) as connection:
                rows: list[asyncpg.Record] = await connection.fetch(query(name), *arguments)
                return rows
