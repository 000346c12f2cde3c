"""Where API keys are read and kept."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from app.core.api_keys import ApiKey, Rate, Scope


class KeySource(Protocol):
    """Where keys are read."""

    async def all(self) -> Sequence[ApiKey]:
        """Every key that was ever made, the newest last; revoked ones stay. Raises TransientError or FatalError."""
        ...


class KeyStore(KeySource, Protocol):
    """Where keys are kept. Each call raises TransientError or FatalError."""

    async def add(
        self,
        *,
        key_id: str,
        digest: bytes,
        name: str,
        scopes: frozenset[Scope],
        expires_at: datetime | None,
        rate: Rate | None,
    ) -> None: ...

    async def add_first(
        self, *, key_id: str, digest: bytes, name: str, scopes: frozenset[Scope], rate: Rate
    ) -> bool:
        """Add a key only where none was ever made; whether it was added. Of several callers at once one succeeds."""
        ...

    async def signing_key(self) -> bytes:
        """The key of cursors and consistency tokens, the same for all workers of a database."""
        ...

    async def revoke(self, key_id: str) -> bool:
        """Whether there is such a key; the date of the first revocation stays."""
        ...
