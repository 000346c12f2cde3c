"""The ledger of erasures as JSON Lines: keyed hashes, dates and counts, and nothing of whom they are about.

The last line is `{"end": N}`; without it an export broke off, and what it lacks would come back.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from app.core.dates import parse, to_text
from app.core.erasure import LedgerEntry
from app.core.errors import InvalidError

_HASH: Final = 32  # bytes
_FINGERPRINT: Final = 8


class _Line(msgspec.Struct, omit_defaults=True):
    ledger_id: str
    erased_at: str
    key_fingerprint: str | None = None
    reference_hash: str | None = None
    id_hash: str | None = None
    properties: int = 0
    edges: int = 0
    points: int = 0
    letters: int = 0
    log_ends: dict[str, list[int]] | None = None  # where topics ended at the erasure


class _End(msgspec.Struct, forbid_unknown_fields=True):
    end: int


_ENCODE: Final = msgspec.json.Encoder().encode
_LINE: Final = msgspec.json.Decoder(_Line)
_END: Final = msgspec.json.Decoder(_End)


def line_of(entry: LedgerEntry) -> str:
    """Without its line break."""
    names = (name for name in _Line.__struct_fields__ if name != "erased_at")
    line = _Line(erased_at=to_text(entry.erased_at), **{name: getattr(entry, name) for name in names})
    return _ENCODE(line).decode()


def end_of(count: int) -> str:
    """The last line of so many."""
    return _ENCODE(_End(count)).decode()


def entries_of(lines: Iterable[str], *, whole: bool = True) -> Iterator[LedgerEntry]:
    """Read them; several exports may follow each other. `whole`: each has its end.

    Unknown fields are ignored, so that lines of the audit log and receipts can be read. Raises InvalidError naming the
    line.
    """
    since_end = 0
    number = 0
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        told = _end(text)
        if told is None:
            since_end += 1
            yield _entry(text, number)
        elif told == since_end:
            since_end = 0
        else:
            raise InvalidError(
                f"Line {number} ends an export of {told} lines, and {since_end} came: export it anew.",
                code="broken",
            )
    if whole and (since_end or number == 0):
        raise InvalidError(
            "The last line is not the end of an export: export it anew, or say --partial if these lines were put "
            "together from receipts or the audit log.",
            code="broken",
        )


def _end(text: str) -> int | None:
    try:
        return _END.decode(text).end
    except msgspec.MsgspecError:
        return None


def _entry(text: str, number: int) -> LedgerEntry:
    try:
        line = _LINE.decode(text)
    except msgspec.MsgspecError as error:
        raise InvalidError(
            f"Line {number} is not an entry of the ledger: {error}", code="not-an-entry"
        ) from None
    for name, size in (
        ("ledger_id", _HASH),
        ("key_fingerprint", _FINGERPRINT),
        ("reference_hash", _HASH),
        ("id_hash", _HASH),
    ):
        _require_hash(getattr(line, name), size, f"{name} of line {number}")
    return LedgerEntry(
        ledger_id=line.ledger_id.lower(),
        erased_at=parse(line.erased_at, field=f"erased_at of line {number}"),
        key_fingerprint=None if line.key_fingerprint is None else line.key_fingerprint.lower(),
        reference_hash=line.reference_hash,
        id_hash=line.id_hash,
        properties=max(0, line.properties),
        edges=max(0, line.edges),
        points=max(0, line.points),
        letters=max(0, line.letters),
        log_ends=line.log_ends,
    )


def _require_hash(text: str | None, size: int, what: str) -> None:
    if text is None:
        return
    try:
        found = len(bytes.fromhex(text))
    except ValueError:
        found = -1
    if found != size or len(text) != 2 * size:
        raise InvalidError(f"The {what} is not {2 * size} hexadecimal digits.", code="not-a-hash")
