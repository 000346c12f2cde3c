"""`python -m app keys create|list|revoke|show|link|renew|generate`: API keys.

A new key is a line on stdout, once; nothing keeps its text. What is done goes to the logger `audit`, on stderr.
"""

import argparse
import asyncio
import logging
import logging.config
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from app.commands.command_stores import open_stores
from app.commands.common import account
from app.config.key_file import KeyFile, local_key
from app.config.settings import Settings
from app.core.api_keys import (
    FIRST_KEY_NAME,
    FIRST_KEY_RATE,
    FIRST_KEY_SCOPES,
    ApiKey,
    Rate,
    Scope,
    digest_of,
    id_of,
    new_text,
)
from app.core.dates import parse, to_text
from app.core.errors import FatalError, InvalidError
from app.core.log_events import LogEvent
from app.core.network import is_loopback
from app.core.text import printable
from app.observability import logs
from app.ports.api_keys import KeyStore

audit = logging.getLogger("audit")

_MAX_NAME: Final = 200
_CREATE: Final = """\
Makes a key and prints it once. Send it as `Authorization: Bearer <key>`. Workers accept it at once, or within seconds.
"""
_SHOW: Final = """\
Prints the key that the first start of a worker made, or that PROFILE_FIRST_KEY gives. It is read from a file of this
machine (PROFILE_KEY_FILE) without asking a server:
curl -H "Authorization: Bearer $(python -m app keys show)" http://127.0.0.1:8888/v1/entities
"""
_LINK: Final = """\
Prints the address of the page with this machine's key in its fragment, which no browser sends to a server. The page
keeps the key for its tab.
"""
_RENEW: Final = """\
For a lost, leaked or revoked file: makes a new key with all scopes, stores it in the file, and revokes the key that the
file held before.
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

    actions.add_parser("show", help="print this machine's key", description=_SHOW).set_defaults(run=_run_show)
    actions.add_parser("link", help="print the page's address with it", description=_LINK).set_defaults(
        run=_run_link
    )
    actions.add_parser("renew", help="replace this machine's key", description=_RENEW).set_defaults(
        run=_run_renew
    )
    generate = actions.add_parser(
        "generate", help="print a new key for PROFILE_FIRST_KEY; it is stored nowhere"
    )
    generate.set_defaults(run=_run_generate)

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


def _run_show(_: argparse.Namespace) -> int:
    print(_own_key(Settings()))
    return 0


def _run_link(_: argparse.Namespace) -> int:
    settings = Settings()
    host = settings.web_host if is_loopback(settings.web_host) else "127.0.0.1"
    print(f"http://{f'[{host}]' if ':' in host else host}:{settings.web_port}/#key={_own_key(settings)}")
    return 0


def _own_key(settings: Settings) -> str:
    text = local_key(settings)
    if text is None:
        raise InvalidError(
            f"There is no {KeyFile.of(settings).path}. The first start of a worker makes it where no key was ever "
            "made; otherwise `python -m app keys renew` makes a new one."
        )
    return text


def _run_generate(_: argparse.Namespace) -> int:
    print(new_text())
    return 0


def _run_renew(_: argparse.Namespace) -> int:
    settings = Settings()
    if settings.first_key is not None:
        raise InvalidError(
            "This machine's key is given by PROFILE_FIRST_KEY, so that no file is used: make another one by `python "
            "-m app keys create`, and revoke the old one by its id."
        )
    path = asyncio.run(_renew(KeyFile.of(settings)))
    print(f"A new key lies in {path}: `python -m app keys show` prints it.")
    return 0


async def _renew(file: KeyFile) -> Path:
    try:
        before = file.read()
    except FatalError:  # it holds something else, which is replaced
        before = None
    # The file last: a key that is stored nowhere does no harm, and a file with an unknown one would mislead.
    text = await _create(FIRST_KEY_NAME, FIRST_KEY_SCOPES, None, FIRST_KEY_RATE)
    file.replace(text)
    if before is not None and (key_id := id_of(before)) is not None:
        await _revoke(key_id)
    return file.path


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
    found = asyncio.run(_revoke(args.id))
    _forget(args.id)
    if not found:
        raise InvalidError(f"There is no key {args.id!r}: `python -m app keys list` shows which there are.")
    print(f"{args.id} is revoked; workers refuse it within {Settings().auth_refresh_s:g} s.")
    return 0


def _forget(key_id: str) -> None:
    """Remove this machine's file where it holds the revoked key."""
    file = KeyFile.of(Settings())
    with suppress(FatalError):
        text = file.read()
        if text is not None and id_of(text) == key_id:
            file.remove()


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
