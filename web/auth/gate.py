"""The one gate of all requests: who asks, what they may, how often, and how many at once.

The usual way (web.http.guard) and the way from memory (web.server.fast_path) both come here. Where it is open
(PROFILE_AUTH=off), nobody is asked for a key, and what a stranger's page may have sent is refused (web.auth.origins).
Keys are known from memory; web.auth.api_key_cache says how old that memory may be.
"""

import math
from collections.abc import Mapping
from typing import Final, Literal

from multidict import istr

from app.core.api_keys import Scope
from app.core.clock import Clock
from app.core.errors import FatalError
from web.auth.api_key_cache import Grant, KeyRing
from web.auth.origins import Origins
from web.problems import ProblemError

AUTHORIZATION: Final = istr("Authorization")

Auth = Literal["off", "required"]

_REALM: Final = 'Bearer realm="user-profile"'
_SCHEME: Final = "bearer "


class Gate:
    """Closed to requests without a key, unless a setting says `off`; nothing that happens later opens it."""

    def __init__(
        self,
        auth: Auth,
        keys: KeyRing | None,
        clock: Clock,
        *,
        allowed_hosts: frozenset[str] = frozenset(),
        trusted_proxies: frozenset[str] = frozenset(),
    ) -> None:
        if keys is None and auth == "required":
            raise FatalError("PROFILE_AUTH=required needs the store of keys.")
        self._keys = keys
        self._clock = clock
        self.origins = Origins(allowed_hosts, trusted_proxies)  # of requests while it is open
        self.closed = auth != "off"  # whether a request needs a key

    def listen(self, host: str, *, loopback: bool, allowed: bool) -> None:
        """Called before the server listens. Raises FatalError where strangers would find it open, or shut for all.

        `allowed`: listening beyond this machine was asked for, with or without keys.
        """
        self.origins.listen(host, loopback=loopback)
        if loopback or allowed:
            return
        where = f"The web server does not listen on {host or 'all hosts'}: "
        if not self.closed:
            raise FatalError(
                f"{where}PROFILE_AUTH=off asks nobody for a key. Set PROFILE_WEB_HOST=127.0.0.1 or "
                "PROFILE_AUTH=required; or PROFILE_WEB_ALLOW_NON_LOOPBACK=true where the network in front of it keeps "
                "strangers out."
            )
        if self._keys is None or not self._keys.has_live:
            raise FatalError(
                f"{where}there is no good API key. Make one (`python -m app keys create --name N --scope read`), set "
                "PROFILE_WEB_HOST=127.0.0.1, or PROFILE_WEB_ALLOW_NON_LOOPBACK=true to start without."
            )

    def recall(self, headers: Mapping[str, str], scope: Scope) -> Grant | None:
        """The grant of a request, where memory knows at once that its key has the scope; counts nothing.

        None says only that the usual way has to decide. Raises TransientError.
        """
        text = _bearer(headers.get(AUTHORIZATION))
        if text is None or self._keys is None:
            return None
        grant = self._keys.find(text)
        return grant if grant is not None and scope in grant.scopes else None

    async def admit(self, headers: Mapping[str, str], scope: Scope) -> Grant:
        """Let a request in and count it. Raises ProblemError (401, 403, 429) or TransientError."""
        given = headers.get(AUTHORIZATION)
        text = _bearer(given)
        if text is None:
            detail = (
                "This needs an API key: send it as `Authorization: Bearer <key>`."
                if given is None
                else "The header Authorization does not hold a bearer token: send `Bearer <key>`."
            )
            raise ProblemError("unauthorized", detail, headers={"WWW-Authenticate": _REALM})
        grant = None if self._keys is None else await self._keys.look(text)
        if grant is None:
            raise ProblemError(
                "unauthorized",
                "The API key is not known, was revoked, or has expired.",
                headers={"WWW-Authenticate": f'{_REALM}, error="invalid_token"'},
            )
        self.require(grant, scope)
        self._count(grant)
        return grant

    @staticmethod
    def require(grant: Grant, scope: Scope, *, of: str = "") -> None:
        """Raise ProblemError (403) where the key lacks the scope; `of` is what needs it, where the route does not."""
        if scope in grant.scopes:
            return
        what = f", which {of} needs" if of else ""
        raise ProblemError(
            "forbidden",
            f"The API key lacks the scope {scope}{what}.",
            {"scope": scope},
            headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{scope}"'},
        )

    def still_admits(self, key_id: str | None) -> bool:
        """Whether who was let in with this key, or without one, would be let in now; for what lasts."""
        if key_id is None:
            return not self.closed
        return self._keys is not None and self._keys.is_live(key_id)

    def _count(self, grant: Grant) -> None:
        if grant.bucket is None:
            return
        wait_s = grant.bucket.take(self._clock.monotonic())
        if wait_s > 0:
            rate = grant.bucket.rate
            raise ProblemError(
                "too-many-requests",
                f"The API key has {rate.per_s:g} requests a second, and {rate.burst} at once. Each 64 KiB, and each "
                "0.1 s of work, counts as one more.",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )


class Room:
    """How many requests of a kind may be in work at once; one more is refused at once, before it costs anything."""

    __slots__ = ("_inside", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0

    def __enter__(self) -> None:
        if self._inside >= self._most:
            raise ProblemError(
                "overloaded",
                f"{self._most} requests are in work, which is the most; try again in a moment.",
                headers={"Retry-After": "1"},
            )
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1


def _bearer(header: str | None) -> str | None:
    """The token of the header; the scheme's name is in any case (RFC 9110)."""
    if header is None or header[: len(_SCHEME)].lower() != _SCHEME:
        return None
    return header[len(_SCHEME) :].strip() or None
