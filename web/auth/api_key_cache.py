"""All API keys in the memory of a process, so that a request asks no database.

They are read again every few seconds, which is how long a revocation takes. While PostgreSQL is away the keys of the
last reading hold, for a time that is a setting; a key that expires meanwhile expires. Then all are refused, since a
revocation could have been missed.
"""

import asyncio
import logging
from datetime import datetime
from typing import Final

from app.core.api_keys import ApiKey, Rate, Scope, id_of
from app.core.clock import Clock
from app.core.errors import TransientError
from app.core.log_events import LogEvent
from app.ports.api_keys import KeySource
from web.auth.token_bucket import TokenBucket

logger = logging.getLogger(__name__)
audit = logging.getLogger("audit")

_ASK_AGAIN_S: Final = 0.5  # between readings for keys that nobody knows, however many ask


class Grant:
    """A live key, and how much of its rate is left in this process."""

    __slots__ = ("_bucket", "key", "scopes")

    def __init__(self, key: ApiKey, bucket: TokenBucket | None) -> None:
        self.key = key
        self.scopes: frozenset[Scope] = key.allows
        self._bucket = bucket

    @property
    def bucket(self) -> TokenBucket | None:
        return self._bucket

    def charge(self, cost: float, now: float) -> None:
        """Count what a request has cost beyond being one."""
        if self._bucket is not None:
            self._bucket.charge(cost, now)

    def take(self, now: float) -> float:
        """Count a request; the seconds to wait where it is one too many, else 0."""
        return 0.0 if self._bucket is None else self._bucket.take(now)


class KeyRing:
    """Knows keys. `rate` is that of keys without one; None: no limit. Each is divided `among` so many processes."""

    def __init__(
        self,
        store: KeySource,
        clock: Clock,
        *,
        refresh_s: float,
        outage_s: float,
        rate: Rate | None = None,
        among: int = 1,
    ) -> None:
        self._store = store
        self._clock = clock
        self._refresh_s = refresh_s
        self._outage_s = outage_s
        self._rate = rate
        self._among = among
        self._grants: dict[str, Grant] = {}
        # Texts that proved themselves since the last reading. A stranger learns nothing from a look here: Python
        # compares texts only where their keyed hashes are equal.
        self._proven: dict[str, Grant] = {}
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def has_live(self) -> bool:
        """Whether any key is good now."""
        now = self._clock.now()
        return any(grant.key.live_at(now) for grant in self._grants.values())

    @property
    def is_known(self) -> bool:
        """Whether the keys were read, and lately enough to be relied on."""
        return self._read_at is not None and self._clock.monotonic() - self._read_at <= self._outage_s

    def is_live(self, key_id: str) -> bool:
        """Whether this key is good now, as far as memory may be relied on."""
        grant = self._grants.get(key_id)
        return self.is_known and grant is not None and grant.key.live_at(self._clock.now())

    def find(self, text: str) -> Grant | None:
        """What a key allows, from memory; None for one that is not known, or not good. Raises TransientError.

        A wrong secret takes as long as a right one; that the id exists, which is public, may show.
        """
        if not self.is_known:
            raise TransientError("The keys could not be read for too long.")
        grant = self._proven.get(text)
        if grant is None:
            key_id = id_of(text)
            grant = self._grants.get(key_id) if key_id is not None else None
            if grant is None or not grant.key.proves(text):
                return None
            self._proven[text] = grant
        if grant.key.expires_at is not None and not grant.key.live_at(self._clock.now()):
            return None
        return grant

    async def look(self, text: str) -> Grant | None:
        """As `find`; a key that is not known yet may be a new one, so the store is asked, now and then."""
        if self.is_known and (self.find(text) is not None or id_of(text) is None):
            return self.find(text)
        if self._tried_at is None or self._clock.monotonic() - self._tried_at >= _ASK_AGAIN_S:
            try:
                await self.read()
            except TransientError as error:
                logger.warning("The API keys can't be read: %s", error)
        return self.find(text)

    async def read(self) -> None:
        """Read the keys now; who calls meanwhile waits for the same reading. Raises TransientError."""
        if self._reading is None:
            self._reading = asyncio.create_task(self._read(), name="api-keys")
            self._reading.add_done_callback(self._read_ended)
        # A caller that is cancelled leaves the reading to the others.
        await asyncio.shield(self._reading)

    def _read_ended(self, task: "asyncio.Task[None]") -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # whoever waits for it raises it; nobody may be left

    async def _read(self) -> None:
        self._tried_at = started = self._clock.monotonic()
        found = await self._store.all()
        now = self._clock.now()
        known, grants = self._grants, {}
        for key in found:
            if key.live_at(now):
                grants[key.id] = self._granted(key, known.get(key.id), started)
        if self._read_at is not None:
            _tell(known, grants, now)
        self._grants, self._proven = grants, {}
        self._read_at = started

    def _granted(self, key: ApiKey, before: Grant | None, now: float) -> Grant:
        if before is not None and before.key == key:
            return before  # with what is left of its rate
        rate = key.rate or self._rate
        if rate is None:
            return Grant(key, None)
        part = Rate(per_s=rate.per_s / self._among, burst=max(1, rate.burst // self._among))
        return Grant(key, TokenBucket(part, now))

    async def run(self) -> None:
        """Read again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._refresh_s)
            try:
                await self.read()
            except TransientError as error:
                logger.warning("The API keys can't be read; those of before hold: %s", error)
            except Exception:
                logger.exception("The API keys can't be read; those of before hold")


def _tell(before: dict[str, Grant], after: dict[str, Grant], now: datetime) -> None:
    for key_id in after.keys() - before.keys():
        extra = {**LogEvent.KEY_ACCEPTED.extra, "key_id": key_id}
        audit.info("key %s is accepted", key_id, extra=extra)
    for key_id in before.keys() - after.keys():
        expired = (ends := before[key_id].key.expires_at) is not None and ends <= now
        cause = "expired" if expired else "revoked"
        extra = {**LogEvent.KEY_DROPPED.extra, "key_id": key_id, "cause": cause}
        audit.info("key %s is refused from now on", key_id, extra=extra)
