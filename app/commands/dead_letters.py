"""`python -m app dlq …`: what to read, replay or drop, and what is said of it.

Results are lines on stdout, counts are on stderr. A value is printed by `show` alone: it may be somebody's data.
"""

import argparse
import asyncio
import sys
from collections import Counter
from typing import Final

from app.config.settings import Settings
from app.core.dates import parse, to_epoch_ms
from app.core.errors import InvalidError
from app.core.records import StoredLetter
from app.core.text import printable
from app.dead_letters.filter import LetterFilter
from app.dead_letters.store import DeadLetterStore
from app.dead_letters.text import line_of, page_of

_REPLAY: Final = """\
Sends the records of dead letters to their topics again, byte for byte, with their keys and timestamps and a header
dlq.replayed-from, and removes each letter after the broker has acknowledged its record. Mend the cause first. A
record that still can't be processed comes back as a new letter under its new offset; many in a row stop a worker
(PROFILE_DEAD_LETTER_MAX_RATIO, PROFILE_DEAD_LETTER_MAX_RUN), so try with a few. To replay twice is harmless.
The letter of a record without a value (a tombstone) can't be replayed; it stays, and the exit code is 1.
"""
_REPLAY_CDC: Final = """\
Letters of the CDC topic: the change is read after later changes of its entity, and its domain event is published
late, with the idempotency key and the time that it would have had. Consumers that deduplicate by key count it
once; those that keep the latest event must compare the time. Replay while a cdc worker runs: the topic keeps
records for 7 days by their own timestamps, so an old one may not wait long for its reader.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dlq` and its actions; each sets `run`."""
    actions = commands.add_parser("dlq", help="dead letters").add_subparsers(required=True, metavar="action")

    listing = actions.add_parser("list", help="tell which there are: id, time, error, reason")
    _add_filters(listing)
    listing.add_argument(
        "--summary", action="store_true", help="only counts by topic, error and path in the contract"
    )
    listing.set_defaults(run=_run_list)

    show = actions.add_parser("show", help="print the headers and the value of single ones")
    show.add_argument(
        "targets", nargs="+", metavar="ID", type=_id, help="as `list` prints it: topic/partition/offset"
    )
    show.set_defaults(run=_run_show, error=None, since=None, until=None, key=None)

    replay = actions.add_parser(
        "replay",
        help="send their records again, and remove them",
        description=_REPLAY,
        epilog=_REPLAY_CDC,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_filters(replay)
    replay.add_argument("--dry-run", action="store_true", help="only tell what would be sent")
    replay.set_defaults(run=_run_replay)

    drop = actions.add_parser("drop", help="remove them for good")
    _add_filters(drop)
    drop.add_argument("--all", action="store_true", help="needed where nothing else says which")
    drop.add_argument("--yes", action="store_true", help="needed where not all are named by id")
    drop.set_defaults(run=_run_drop, usage_error=drop.error)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TOPIC|ID",
        type=_target,
        help="an original topic, or a letter as topic/partition/offset; all without any",
    )
    parser.add_argument("--error", metavar="CODE", help="of this error, such as missing-field")
    parser.add_argument(
        "--since", metavar="TIME", type=_time, help="records of this time (RFC 3339) or later"
    )
    parser.add_argument("--until", metavar="TIME", type=_time, help="records before this time")
    parser.add_argument("--key", metavar="GLOB", help="the record's key or the letter's id; * is any text")


def _id(text: str) -> str:
    topic, *numbers = text.split("/", 3)[:3]
    if not topic or len(numbers) != 2 or not all(n.isascii() and n.isdecimal() for n in numbers):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an id: expected topic/partition/offset, as `dlq list` prints it"
        )
    return text


def _target(text: str) -> str:
    return _id(text) if "/" in text else text


def _time(text: str) -> int:
    try:
        return to_epoch_ms(parse(text, field=repr(text)))
    except InvalidError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _filter(args: argparse.Namespace) -> LetterFilter:
    return LetterFilter(
        topics=frozenset(target for target in args.targets if "/" not in target),
        ids=frozenset(target for target in args.targets if "/" in target),
        error=args.error,
        since_ms=args.since,
        until_ms=args.until,
        key=args.key,
    )


def _store() -> DeadLetterStore:
    settings = Settings()
    names = settings.topics
    return DeadLetterStore(settings.kafka, [*names.sources, *names.normalised, names.cdc])


def _run_list(args: argparse.Namespace) -> int:
    return asyncio.run(_list(_filter(args), summary=args.summary))


def _run_show(args: argparse.Namespace) -> int:
    return asyncio.run(_show(_filter(args)))


def _run_replay(args: argparse.Namespace) -> int:
    return asyncio.run(_would_replay(_filter(args)) if args.dry_run else _replay(_filter(args)))


def _run_drop(args: argparse.Namespace) -> int:
    wanted = _filter(args)
    if not wanted.selects and not args.all:
        args.usage_error("say which: name topics, ids or filters, or --all")
    return asyncio.run(_drop(wanted, sure=args.yes or bool(wanted.ids and not wanted.topics)))


async def _list(wanted: LetterFilter, *, summary: bool) -> int:
    counts: Counter[tuple[str, str, str]] = Counter()
    async with _store() as store:
        async for letter in store.read(await store.select(wanted)):
            counts[letter.topic, letter.error, letter.path] += 1
            if not summary:
                print(line_of(letter))
    if summary:
        for (topic, error, path), count in sorted(counts.items()):
            print(f"{topic}\t{printable(f'{error} at {path}' if path else error)}\t{count}")
    _tell(f"{_letters(counts.total())}.")
    return 0


async def _show(wanted: LetterFilter) -> int:
    shown = 0
    async with _store() as store:
        async for letter in store.read(await store.select(wanted)):
            print("\n" * bool(shown) + page_of(letter))
            shown += 1
    return 0


async def _would_replay(wanted: LetterFilter) -> int:
    sent = 0
    async with _store() as store:
        async for letter in store.read(await store.select(wanted)):
            sent += letter.value is not None
            print(_dry_line(letter))
    _tell(f"{_letters(sent)} would be replayed.")
    return 0


def _dry_line(letter: StoredLetter) -> str:
    does = "would stay (a tombstone)" if letter.value is None else f"would go to {letter.topic}"
    return f"{does}\t{line_of(letter)}"


async def _replay(wanted: LetterFilter) -> int:
    sent = stayed = 0
    async with _store() as store:
        async for outcome in store.replay(await store.select(wanted)):
            letter_id = printable(outcome.letter_id)
            if outcome.stays is None:
                sent += 1
                print(f"replayed {letter_id}")
            else:
                stayed += 1
                _tell(f"error: {letter_id} stays: {outcome.stays}.")
    _tell(f"{_letters(sent)} replayed.")
    return 1 if stayed else 0


async def _drop(wanted: LetterFilter, *, sure: bool) -> int:
    dropped = 0
    async with _store() as store:
        selection = await store.select(wanted)
        if not sure and len(selection):
            _tell(f"error: this removes {_letters(len(selection))} for good: repeat it with --yes.")
            return 2
        async for letter_id in store.remove(selection):
            dropped += 1
            print(f"dropped {printable(letter_id)}")
    _tell(f"{_letters(dropped)} dropped.")
    return 0


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
