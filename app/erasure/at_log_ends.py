"""Erasures that note what lay in the topics when they began."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.core.erasure import ErasureReceipt
from app.core.models import EntityKey
from app.ports.erasure import LogEnds


class NotingEraser(Protocol):
    """What is used of storage.erasure.eraser.PostgresEraser."""

    async def erase(
        self, key: EntityKey, *, log_ends: Mapping[str, Sequence[int]] | None = None
    ) -> ErasureReceipt | None: ...

    async def erase_id(
        self, entity_id: int, *, log_ends: Mapping[str, Sequence[int]] | None = None
    ) -> ErasureReceipt | None: ...

    async def receipt(self, ledger_id: str) -> ErasureReceipt | None: ...


class ErasureAtLogEnds:
    """Implements app.ports.erasure.ProfileEraser.

    The topics are asked before the erasure begins. So a record that was acknowledged to its producer before the
    erasure was asked for lies before the ends, and one that is produced after the answer does not. One that comes
    while the erasure goes on is as much after it as before it. Where Kafka does not answer the erasure goes on.
    """

    def __init__(self, eraser: NotingEraser, log_ends: LogEnds) -> None:
        self._eraser = eraser
        self._log_ends = log_ends

    async def erase(self, key: EntityKey) -> ErasureReceipt | None:
        return await self._eraser.erase(key, log_ends=await self._log_ends.ends())

    async def erase_id(self, entity_id: int) -> ErasureReceipt | None:
        return await self._eraser.erase_id(entity_id, log_ends=await self._log_ends.ends())

    async def receipt(self, ledger_id: str) -> ErasureReceipt | None:
        return await self._eraser.receipt(ledger_id)
