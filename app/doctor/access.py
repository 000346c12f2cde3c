"""Who may ask the web server: whether it starts, and what becomes of its API keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.config.key_file import KeyFile, local_key
from app.config.settings import Role, Settings
from app.core.api_keys import ApiKey, id_of
from app.core.check_results import Finding, Level, failed, judged
from app.core.clock import Clock, SystemClock
from app.core.errors import FatalError
from app.core.network import is_loopback
from web.auth.api_key_cache import KeyRing
from web.auth.gate import Gate

_CREATE: Final = "`python -m app keys create --name N --scope read`"
_NAMED: Final = 5  # ids in one line


@dataclass(frozen=True, slots=True)
class _Read:
    """Keys that were read."""

    keys: Sequence[ApiKey]

    async def all(self) -> Sequence[ApiKey]:
        return self.keys


async def access_findings(
    settings: Settings, keys: Sequence[ApiKey] | None, clock: Clock | None = None
) -> list[Finding]:
    """Of a worker with the role web; `keys` None: they can't be read."""
    if Role.WEB not in settings.roles:
        return []
    clock = clock or SystemClock()
    found = [_auth(settings), await _bind(settings, keys, clock)]
    return found if keys is None else [*found, *_keys(settings, keys, clock.now())]


def _auth(settings: Settings) -> Finding:
    return judged(
        "settings.auth",
        well=settings.auth != "off",
        what="nobody is asked for a key" if settings.auth == "off" else settings.auth,
        mend="unset PROFILE_AUTH (`required`): whoever reaches the port may read, write and erase all profiles",
        level=Level.WARN,
    )


async def _bind(settings: Settings, keys: Sequence[ApiKey] | None, clock: Clock) -> Finding:
    """What the gate says when the server is about to listen: its own rule, with the keys that there are."""
    name = "settings.web_host"
    told = f"listens on {settings.web_host or 'all hosts'}:{settings.web_port}"
    loopback, allowed = is_loopback(settings.web_host), settings.web_allow_non_loopback
    if loopback:
        return Finding(level=Level.OK, name=name, what=told)
    if keys is None and not allowed and settings.auth != "off":
        return Finding(
            level=Level.WARN,
            name=name,
            what=f"{told}, which takes a good API key, and the keys can't be read",
            mend="start PostgreSQL and ask again",
        )
    if keys is not None and not keys and settings.auth != "off":
        return Finding(
            level=Level.OK, name=name, what=f"{told} and asks for API keys; the first start makes one"
        )
    ring = KeyRing(_Read(keys or ()), clock, refresh_s=1, outage_s=settings.auth_outage_s)
    await ring.read()
    gate = Gate(settings.auth, ring, clock)
    try:
        gate.listen(settings.web_host, loopback=loopback, allowed=allowed)
    except FatalError as error:
        what, _, mend = str(error).partition(". ")
        return failed(name, f"the worker will refuse to start: {what}", mend=mend)
    return judged(
        name,
        well=gate.closed,
        what=f"{told} and asks for API keys" if gate.closed else f"{told}, open to everybody who reaches it",
        mend="unset PROFILE_AUTH, set PROFILE_WEB_HOST=127.0.0.1, or let nobody but trusted services reach it",
        level=Level.WARN,
    )


def _keys(settings: Settings, keys: Sequence[ApiKey], now: datetime) -> list[Finding]:
    live = [key for key in keys if key.live_at(now)]
    expired = [key for key in keys if key.revoked_at is None and not key.live_at(now)]
    nobody = settings.auth != "off" and bool(keys) and not live
    if nobody:
        what = f"all {len(keys)} are revoked or expired: every request is refused"
    else:
        what = (
            f"{len(live)} of {len(keys)} are good" if keys else "none was made yet; the first start makes one"
        )
    return [
        judged("keys", well=not nobody, what=what, mend=f"make one: {_CREATE}"),
        *_own_key(settings, live),
        judged(
            "keys.expired",
            well=not expired,
            what=f"{len(expired)}: {_ids(expired)}" if expired else "none",
            mend="make new ones for whoever uses them still, then `python -m app keys revoke ID` ends this warning",
            level=Level.WARN,
        ),
    ]


def _own_key(settings: Settings, live: Sequence[ApiKey]) -> list[Finding]:
    """Of the file with the key of this machine's operator; none is fine, since keys are made by a command, too."""
    name, file, problem = "keys.file", KeyFile.of(settings), None
    mend = "`python -m app keys renew` makes a new one"
    try:
        text = local_key(settings)
    except FatalError as error:
        problem, _, mend = str(error).partition(". ")
        return [judged(name, well=False, what=problem, mend=mend, level=Level.WARN)]
    if text is None:
        return []
    where = "PROFILE_FIRST_KEY" if settings.first_key else str(file.path)
    if live and not any(key.id == id_of(text) and key.proves(text) for key in live):
        problem = f"the key of {where} is not accepted: it was revoked, or is of another database"
    elif settings.first_key is None and not file.is_private:
        problem, mend = f"others than its owner may read {where}", f"chmod 600 {where}"
    what = problem or f"{where} holds this machine's key"
    return [judged(name, well=problem is None, what=what, mend=mend, level=Level.WARN)]


def _ids(keys: Sequence[ApiKey]) -> str:
    more = len(keys) - _NAMED
    told = ", ".join(f"{key.id} ({key.expires_at:%Y-%m-%d})" for key in keys[-_NAMED:])
    return f"{told} and {more} more" if more > 0 else told
