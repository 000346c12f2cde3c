"""The names of cache keys.

Keys fall into groups, each with one hash tag, so that one command reaches many keys of a flush. The prefix holds
the entry format's version and the identity of the database, so that another database, or the same one after a
failover, starts with an empty cache (storage/postgres/timeline.py).
"""

import re
from hashlib import blake2b
from typing import Final, NamedTuple

from redis.crc import key_slot

from app.core.audit import Kind
from app.core.models import EntityKey, Lookup, Stale

# Workers of the version before tell nobody of entries under another number: CONTRIBUTING.md, *Cache entries*.
FORMAT_VERSION: Final = 5
GROUPS: Final = 128
_KINDS: Final[dict[bytes, Kind]] = {b"f": "fragment", b"p": "property", b"r": "reference"}


class CacheKey(NamedTuple):
    """A key and the number of its group. `local` is what this process knows it by: of a fragment the id."""

    group: int
    name: bytes
    local: int | bytes


class Keyspace:
    """Makes keys. Values of properties and references occur only as hashes."""

    def __init__(self, prefix: str) -> None:
        self._name(prefix)
        self.slots: Final[list[int]] = [key_slot(tag) for tag in self._tags]

    def move(self, prefix: str) -> None:
        """Make other keys from now on. Slots stay, since the prefix is not within the hash tag."""
        self._name(prefix)

    def _name(self, prefix: str) -> None:
        self.prefix = f"{prefix}:v{FORMAT_VERSION}"
        self._tags = [f"{self.prefix}:{{g{group}}}:".encode() for group in range(GROUPS)]
        self.entries_pattern = f"{self.prefix}:{{g*}}:[fpr]:*"  # a glob of all keys but marks
        self._entry = re.compile(rb"%b:\{g(\d+)\}:([fpr]):(.+)" % re.escape(self.prefix.encode()), re.DOTALL)

    def mark(self, group: int) -> bytes:
        """The group's high-water mark."""
        return self._tags[group] + b"m"

    def channel(self, group: int) -> bytes:
        """The channel whose slot is that of the group."""
        return self._tags[group] + b"n"

    def key(self, stale: Stale) -> CacheKey:
        """The key of the answers that show this entity, or come from this reference or look-up."""
        if isinstance(stale, int):
            return self.fragment(stale)
        return self.reference(stale) if isinstance(stale, EntityKey) else self.lookup(stale)

    def fragment(self, entity_id: int) -> CacheKey:
        group = entity_id % GROUPS
        return CacheKey(group, b"%bf:%d" % (self._tags[group], entity_id), entity_id)

    def lookup(self, lookup: Lookup) -> CacheKey:
        return self._hashed(b"p:", f"{lookup.path}\0{lookup.value}")

    def reference(self, key: EntityKey) -> CacheKey:
        return self._hashed(b"r:", f"{key.type}\0{key.reference}")

    def parse(self, name: bytes) -> CacheKey | None:
        """The key of an entry by its name; None for other names."""
        found = self._entry.fullmatch(name)
        if found is None:
            return None
        group, kind, rest = found.groups()
        return CacheKey(int(group), name, int(rest) if kind == b"f" else name)

    def kind_of(self, key: CacheKey) -> Kind:
        """What an entry under this key is."""
        start = len(self._tags[key.group])
        return _KINDS[key.name[start : start + 1]]

    def _hashed(self, kind: bytes, text: str) -> CacheKey:
        digest = blake2b(text.encode(), digest_size=16).digest()
        group = digest[0] % GROUPS
        name = self._tags[group] + kind + digest
        return CacheKey(group, name, name)
