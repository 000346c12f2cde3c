"""Dead letters about erased entities are taken back as soon as they are published.

Published first: an erasure that commits after the question finds the letter in its topic.
"""

from collections.abc import Sequence
from typing import Protocol

from app.core.records import DeadLetter
from app.erasure.mentions import names_of
from app.ports.erasure import ErasureRegister


class Letters(Protocol):
    """What is used of app.dead_letters.sink.KafkaDeadLetters."""

    async def publish(self, letters: Sequence[DeadLetter]) -> None: ...

    async def remove(self, letters: Sequence[DeadLetter]) -> None: ...


class ErasureAwareLetters:
    """Implements app.ports.dead_letters.DeadLetterSink for the normalised topics."""

    def __init__(self, letters: Letters, register: ErasureRegister) -> None:
        self._letters = letters
        self._register = register

    async def publish(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        await self._letters.publish(letters)
        erased = await self._register.erased_among(
            [
                names_of(key=each.key, value=each.value, timestamp_ms=each.timestamp_ms, typed=True)
                for each in letters
            ]
        )
        gone = [letter for letter, about in zip(letters, erased, strict=True) if about]
        if gone:
            await self._letters.remove(gone)
