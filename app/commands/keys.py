"""`python -m app keys create|list|revoke`: API keys.

A new key is a line on stdout, once; nothing keeps its text. What is done goes to the logger `audit`, on stderr.
"""

import argparse
import asyncio
import logging
import logging.config
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from app.commands.command_stores import open_stores
from app.commands.common import account
from app.config.settings import Settings
from app.core.api_keys import ApiKey, Rate, Scope, digest_of, id_of, new_text
from app.core.dates import parse, to_text
from app.core.errors import InvalidError
from app.core.log_events import LogEvent
from app.core.text import printable
from app.observability import logs
from app.ports.api_keys import KeyStore

audit = logging.getLogger("audit")

_MAX_NAME: Final = 200
_CREATE: Final = """\
Makes a key and prints it once. Send it as `Authorization: Bearer <key>`. Workers accept it at once, or within seconds.
The first key closes every server of PROFILE_AUTH=auto to requests without one, within PROFILE_AUTH_REFRESH_S.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `keys` and its actions; each sets `run`."""
    actions = commands.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="action")

    create = actions.add_parser("create", help="make one and print it, once", description=_CREATE)
    create.add_argument("--name", required=True, type=_name, help="whose it is, or what for")
    create.add_argument("--scope", required=True, type=_scopes, help=f"of {', '.join(Scope)}; by commas")
    create.add_argument(
        "--expires", metavar="TIME", type=_expiry, help="RFC 3339, or a date: its midnight, UTC"
    )
    create.add_argument("--rate", metavar="N", type=_rate, help="requests a second, in each process")
    create.add_argument(
        "--burst", metavar="N", type=_burst, help="requests at once, with --rate (its double)"
    )
    create.set_defaults(run=_run_create, usage_error=create.error)

    actions.add_parser("list", help="tell which there are, without their texts").set_defaults(run=_run_list)

    revoke = actions.add_parser("revoke", help="have one refused, within seconds and for good")
    revoke.add_argument("id", help="as `list` tells it, the second part of the key")
    revoke.set_defaults(run=_run_revoke)


def _name(text: str) -> str:
    if not text.strip() or len(text) > _MAX_NAME or not text.isprintable():
        raise argparse.ArgumentTypeError(f"a name has 1 to {_MAX_NAME} printable characters")
    return text.strip()


def _scopes(text: str) -> frozenset[Scope]:
    try:
        found = frozenset(Scope(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        found = frozenset()
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of {', '.join(Scope)}")
    return found


def _expiry(text: str) -> datetime:
    try:
        found = parse(text, field=repr(text))
    except InvalidError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if found <= datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text!r} is over already")
    return found


def _rate(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.001 <= found <= 1e6:  # noqa: PLR2004 - refuses nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate: expected 0.001 to 1000000 a second")
    return found


def _burst(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 1_000_000):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of requests up to 1000000")
    return int(text)


def _run_create(args: argparse.Namespace) -> int:
    if args.burst is not None and args.rate is None:
        args.usage_error("--burst needs --rate")
    rate = None
    if args.rate is not None:
        rate = Rate(per_s=args.rate, burst=args.burst or max(1, round(2 * args.rate)))
    print(asyncio.run(_create(args.name, args.scope, args.expires, rate)))
    print("This is shown once; keep it as you keep passwords.", file=sys.stderr)
    return 0


async def _create(name: str, scopes: frozenset[Scope], expires_at: datetime | None, rate: Rate | None) -> str:
    text = new_text()
    key_id = id_of(text)
    assert key_id is not None  # noqa: S101 - it was made a line above
    async with _store() as store:
        await store.add(
            key_id=key_id, digest=digest_of(text), name=name, scopes=scopes, expires_at=expires_at, rate=rate
        )
    told = ", ".join(sorted(scopes))
    _audit(
        LogEvent.KEY_CREATED.extra,
        f"key {key_id} created for {told}",
        key_id,
        name=name,
        scopes=sorted(scopes),
    )
    return text


def _run_list(_: argparse.Namespace) -> int:
    found = asyncio.run(_all())
    now = datetime.now(UTC)
    for key in found:
        print(line_of(key, now))
    print(f"{sum(key.live_at(now) for key in found)} of {len(found)} keys are good.", file=sys.stderr)
    return 0


async def _all() -> list[ApiKey]:
    async with _store() as store:
        return list(await store.all())


def line_of(key: ApiKey, now: datetime) -> str:
    """`id  state  scopes  made  expiry  rate  name`, tab-separated."""
    state = "good" if key.live_at(now) else "expired" if key.revoked_at is None else "revoked"
    cells = (
        key.id,
        state,
        ",".join(sorted(key.scopes)),
        to_text(key.created_at),
        "-" if key.expires_at is None else to_text(key.expires_at),
        "-" if key.rate is None else f"{key.rate.per_s:g}/s, {key.rate.burst} at once",
        printable(key.name),
    )
    return "\t".join(cells)


def _run_revoke(args: argparse.Namespace) -> int:
    if not asyncio.run(_revoke(args.id)):
        raise InvalidError(f"There is no key {args.id!r}: `python -m app keys list` shows which there are.")
    print(f"{args.id} is revoked; workers refuse it within {Settings().auth_refresh_s:g} s.")
    return 0


async def _revoke(key_id: str) -> bool:
    async with _store() as store:
        found = await store.revoke(key_id)
    if found:
        _audit(LogEvent.KEY_REVOKED.extra, f"key {key_id} revoked", key_id)
    return found


def _audit(event: Mapping[str, str], message: str, key_id: str, **more: object) -> None:
    logging.config.dictConfig(logs.config(Settings().log_format))
    extra = {
        **event,
        "key_id": key_id,
        "user": account(),
        **{f"key_{name}": each for name, each in more.items()},
    }
    audit.info(message, extra=extra)


@asynccontextmanager
async def _store() -> AsyncIterator[KeyStore]:
    async with open_stores(Settings().model_copy(update={"cache_enabled": False})) as stores:
        yield stores.keys
