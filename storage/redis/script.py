"""A Lua script that Redis runs by its hash, so that the source travels once for each connection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1

from storage.redis.connection import Command


@dataclass(frozen=True, slots=True)
class RedisScript:
    """RedisNodes loads what is registered there; the keys of a call lie in one slot."""

    source: str
    sha1: str = field(init=False)

    def __post_init__(self) -> None:
        # Redis' own name for it, not a matter of security.
        object.__setattr__(self, "sha1", sha1(self.source.encode(), usedforsecurity=False).hexdigest())

    @property
    def load(self) -> Command:
        return ("SCRIPT", "LOAD", self.source)

    def call(self, keys: Sequence[bytes], *arguments: bytes | str | int) -> Command:
        return ("EVALSHA", self.sha1, len(keys), *keys, *arguments)
