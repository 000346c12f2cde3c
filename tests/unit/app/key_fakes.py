"""Keys in memory, and a clock that stands still."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from app.core.api_keys import ApiKey, Rate, Scope, digest_of, id_of, new_text
from web.auth.api_key_cache import KeyRing

START = datetime(2025, 10, 5, 12, 0, tzinfo=UTC)


@dataclass
class StillClock:
    at: float = 100.0

    def monotonic(self) -> float:
        return self.at

    def now(self) -> datetime:
        return START + timedelta(seconds=self.at - 100.0)

    def epoch_s(self) -> float:
        return self.now().timestamp()


@dataclass
class FakeKeys:
    """`error` is raised by every call."""

    keys: list[ApiKey] = field(default_factory=list)
    error: Exception | None = None
    readings: int = 0

    def make(
        self,
        *scopes: Scope,
        expires_at: datetime | None = None,
        rate: Rate | None = None,
    ) -> str:
        """The text of a new key."""
        text = new_text()
        found = id_of(text)
        assert found is not None
        self.keys.append(
            ApiKey(
                id=found,
                name="a test",
                digest=digest_of(text),
                scopes=frozenset(scopes),
                created_at=START,
                expires_at=expires_at,
                rate=rate,
            )
        )
        return text

    async def all(self) -> Sequence[ApiKey]:
        self.readings += 1
        if self.error is not None:
            raise self.error
        return list(self.keys)

    async def add(
        self,
        *,
        key_id: str,
        digest: bytes,
        name: str,
        scopes: frozenset[Scope],
        expires_at: datetime | None,
        rate: Rate | None,
    ) -> None:
        self.keys.append(
            ApiKey(
                id=key_id,
                name=name,
                digest=digest,
                scopes=scopes,
                created_at=START,
                expires_at=expires_at,
                rate=rate,
            )
        )

    async def add_first(
        self, *, key_id: str, digest: bytes, name: str, scopes: frozenset[Scope], rate: Rate
    ) -> bool:
        if self.keys:
            return False
        await self.add(key_id=key_id, digest=digest, name=name, scopes=scopes, expires_at=None, rate=rate)
        return True

    async def signing_key(self) -> bytes:
        return b"s" * 32

    async def revoke(self, key_id: str) -> bool:
        before = self.keys
        self.keys = [replace(key, revoked_at=START) if key.id == key_id else key for key in before]
        return any(key.id == key_id for key in before)


def ring_of(
    keys: FakeKeys,
    clock: StillClock,
    *,
    rate: Rate | None = None,
    refresh_s: float = 2.0,
    among: int = 1,
) -> KeyRing:
    return KeyRing(keys, clock, refresh_s=refresh_s, outage_s=60.0, rate=rate, among=among)
