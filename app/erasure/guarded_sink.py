"""Dead letters about erased entities are taken back as soon as they are published.

Published first: an erasure that commits after the question finds the letter in its topic.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from app.core.erasure import Named
from app.core.models import RecordSource
from app.core.records import DeadLetter, id_of
from app.dead_letters.letter import key_of
from app.erasure.mentions import names_of
from app.ports.erasure import LetterRegister


class Letters(Protocol):
    """What is used of app.dead_letters.sink.KafkaDeadLetters."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None: ...

    async def remove(self, letters: Sequence[DeadLetter]) -> None: ...


class ErasureAwareLetters:
    """Implements app.ports.dead_letters.DeadLetterSink for topics whose records tell types: all but the sources."""

    def __init__(self, letters: Letters, register: LetterRegister) -> None:
        self._letters = letters
        self._register = register

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        await self._letters.publish(letters)
        named = await asyncio.to_thread(lambda: [_named_in(letter) for letter in letters])
        erased = await self._register.erased_among(named)
        gone = {id_of(key_of(letter)): about for letter, about in zip(letters, erased, strict=True) if about}
        if gone:
            await self._register.note_removed(gone)
            await self._letters.remove([letter for letter in letters if id_of(key_of(letter)) in gone])


def _named_in(letter: DeadLetter) -> Named:
    return names_of(
        key=letter.key,
        value=letter.value,
        timestamp_ms=letter.timestamp_ms,
        typed=True,
        others=[letter.reason.encode(errors="replace")],
        place=RecordSource(letter.topic, letter.partition, letter.offset),
    )
