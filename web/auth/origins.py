"""What a browser may be made to do with a server that asks for no key, by a page of somebody else.

Such a page can send some requests unasked, though not read their answers; and where the name that it came from leads to
this machine a moment later (DNS rebinding), it is no stranger to the browser. What gives both away are headers that no
script can set: Host, Origin and Sec-Fetch-Site. Keys need none of this, since a browser adds none by itself.

Nor is a server without keys for who comes through a proxy: loopback is what it relies on, and behind a proxy on this
machine everybody comes from there. Proxies say so in a header; one that is meant has to be named.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from multidict import istr

from web.problems import ProblemError

HOST: Final = istr("Host")
_ORIGIN: Final = istr("Origin")
_SITE: Final = istr("Sec-Fetch-Site")
_FORWARDED: Final = tuple(
    map(istr, ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"))
)
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
_OWN_SITES: Final = ("same-origin", "none")  # `none`: typed by a person


class Origins:
    """`allowed` are names beside those of loopback, of a proxy or of this machine; `proxies` addresses of proxies."""

    def __init__(self, allowed: frozenset[str], proxies: frozenset[str] = frozenset()) -> None:
        self._proxies = proxies
        self._allowed = frozenset(name.lower().rstrip(".") for name in allowed)
        self._host = ""
        self._any_host = False
        self._knows = lru_cache(maxsize=256)(self._is_known)

    def listen(self, host: str, *, loopback: bool) -> None:
        """Beyond loopback any name may be the right one, where none were named."""
        self._host = host.lower()
        self._any_host = not loopback and not self._allowed
        self._knows.cache_clear()

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Whether the request is for this server by its name, and straight; one without a Host is no browser's."""
        if _is_forwarded(headers):
            return False
        return self._is_ours(headers)

    def _is_ours(self, headers: Mapping[str, str]) -> bool:
        host = headers.get(HOST)
        return host is None or self._knows(host)

    def check(self, method: str, headers: Mapping[str, str], peer: str | None = None) -> None:
        """Raise ProblemError (403, 421) for what the page of a stranger may have sent, or came through a strange proxy.

        `peer` is the address that it came from.
        """
        if _is_forwarded(headers) and peer not in self._proxies:
            raise ProblemError(
                "proxied",
                "This came through a proxy, and this server asks nobody for a key. Make one (`python -m app keys "
                "create --name N --scope read`), or name the proxy's address in PROFILE_WEB_TRUSTED_PROXIES, if "
                "whoever gets through it may do everything.",
            )
        if not self._is_ours(headers):
            raise ProblemError(
                "unknown-host",
                "Without API keys this server answers by its own names alone, as localhost. Name others in "
                "PROFILE_WEB_ALLOWED_HOSTS, or make a key.",
            )
        if method in _SAFE or self._is_own(headers):
            return
        raise ProblemError(
            "cross-site",
            "A page of another site sent this. Without API keys only pages of this server may change anything.",
        )

    def _is_own(self, headers: Mapping[str, str]) -> bool:
        site, origin = headers.get(_SITE), headers.get(_ORIGIN)
        if site is not None:
            if site in _OWN_SITES:
                return True
            if site == "cross-site" or origin is None:
                return False
        if origin is None:
            return True
        authority = origin.rpartition("://")[2]
        return authority == headers.get(HOST) or _name(authority) in self._allowed

    def _is_known(self, host: str) -> bool:
        name = _name(host)
        if self._any_host or name in self._allowed or name in ("localhost", self._host):
            return True
        try:
            return ipaddress.ip_address(name).is_loopback
        except ValueError:
            return False


def _is_forwarded(headers: Mapping[str, str]) -> bool:
    return any(name in headers for name in _FORWARDED)


def _name(authority: str) -> str:
    """Without its port, and an IPv6 address without its brackets."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0].lower()
    return authority.partition(":")[0].lower().rstrip(".")
