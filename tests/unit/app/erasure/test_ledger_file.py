"""The ledger as lines: what is written can be read, and what is broken is refused before anything is done."""

from datetime import UTC, datetime

import pytest

from app.core.erasure import LedgerEntry
from app.core.errors import InvalidError
from app.erasure.ledger_file import end_of, entries_of, line_of

FULL = LedgerEntry(
    ledger_id="ab" * 32,
    erased_at=datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
    key_fingerprint="cd" * 8,
    reference_hash="ef" * 32,
    id_hash="01" * 32,
    properties=1,
    edges=2,
    points=3,
    letters=4,
    log_ends={"entities-edges": [7, 0]},
)
BARE = LedgerEntry(ledger_id="00" * 32, erased_at=datetime(2026, 1, 31, tzinfo=UTC))
LINE = f'{{"ledger_id":"{"ab" * 32}","erased_at":"2026-01-31T12:00:00Z"}}'


def test_what_is_written_is_read() -> None:
    lines = [line_of(FULL), line_of(BARE), end_of(2), "", line_of(BARE), end_of(1), end_of(0)]
    assert list(entries_of(lines)) == [FULL, BARE, BARE]


def test_an_empty_ledger_is_an_export() -> None:
    assert list(entries_of([end_of(0)])) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "not the end of an export"),
        ([LINE], "not the end of an export"),
        ([LINE, end_of(2)], "Line 2 ends an export of 2 lines, and 1 came"),
        ([LINE, end_of(1), LINE], "not the end of an export"),
        ([LINE[:-5], end_of(1)], "Line 1 is not an entry of the ledger"),
        (["[]"], "Line 1 is not an entry"),
        (['{"ledger_id": "ab", "erased_at": "2026-01-31"}'], "ledger_id of line 1 is not 64 hexadecimal"),
        ([LINE.replace("abab", "ab  ")], "ledger_id of line 1 is not 64"),
        ([LINE.replace("2026-01-31T12", "2026-02-31T12")], "erased_at of line 1 is not a date"),
        ([LINE.replace("}", ',"key_fingerprint":"x"}')], "key_fingerprint of line 1"),
        ([LINE.replace("}", ',"edges":"2"}')], "Line 1 is not an entry"),
    ],
)
def test_what_is_broken_is_refused_with_its_line(lines: list[str], words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        list(entries_of(lines))


def test_lines_of_receipts_and_of_the_audit_log_have_no_end() -> None:
    told = LINE.replace("{", '{"event": "entity_erased", "removed": {"entities": 1}, ')
    (entry,) = entries_of([told], whole=False)
    assert entry.ledger_id == "ab" * 32
    assert entry.erased_at == datetime(2026, 1, 31, 12, tzinfo=UTC)
