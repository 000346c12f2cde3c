"""API keys and what they allow.

A key is `upk_<id>_<secret>`: the id is public and names it in lists and logs, the secret has 256 bits of chance, and a
digest of both is all that is stored. So much chance needs no slow hash: nobody can try it out.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_PREFIX: Final = "upk"  # so that scanners for secrets can know one
_KEY: Final = re.compile(
    rf"{_PREFIX}_([0-9a-f]{{{2 * _ID_BYTES}}})_[0-9a-f]{{{2 * _SECRET_BYTES}}}", re.ASCII
)


class Scope(StrEnum):
    """What a key is allowed. None includes another, but for `admin`, which includes `metrics`."""

    READ = "read"
    WRITE = "write"
    ERASE = "erase"
    METRICS = "metrics"  # /metrics alone: a scraper's key lies in a file on another machine
    ADMIN = "admin"  # what operators do


_INCLUDED: Final = {Scope.ADMIN: Scope.METRICS}


def granting(scope: Scope) -> list[Scope]:
    """With which scopes one may what needs this one: itself first."""
    return [scope, *(each for each, included in _INCLUDED.items() if included is scope)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Requests a second in the long run, and at once after a pause."""

    per_s: float
    burst: int


FIRST_KEY_NAME: Final = "first key"
FIRST_KEY_SCOPES: Final = frozenset(Scope)
FIRST_KEY_RATE: Final = Rate(per_s=100_000, burst=100_000)  # its holder runs load tests, too


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A key as it is stored. `rate` None takes the server's."""

    id: str
    name: str
    digest: bytes
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rate: Rate | None = None

    def proves(self, text: str) -> bool:
        """Whether this is the key's text; takes as long for any that is not."""
        return hmac.compare_digest(self.digest, digest_of(text))

    @property
    def allows(self) -> frozenset[Scope]:
        """Its scopes, and those that they include."""
        return self.scopes | {_INCLUDED[each] for each in self.scopes if each in _INCLUDED}

    def live_at(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_text(chance: Callable[[int], str] = secrets.token_hex) -> str:
    """A new key. `chance` gives so many bytes as hexadecimal digits."""
    return f"{_PREFIX}_{chance(_ID_BYTES)}_{chance(_SECRET_BYTES)}"


def id_of(text: str) -> str | None:
    """The public part; None for what is not a key."""
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def digest_of(text: str) -> bytes:
    """What is stored of it (BLAKE2b, 256 bits)."""
    return hashlib.blake2b(text.encode(), digest_size=32, person=b"api-key").digest()
