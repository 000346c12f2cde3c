from app.core.records import DeadLetter
from app.dead_letters.letter import headers_of, key_of, read_letter
from tests.unit.app.fakes import FakeRecord

LETTER = DeadLetter(
    topic="t.x",
    partition=3,
    offset=42,
    timestamp_ms=1_736_937_000_123,
    key=b"\xffuser",
    value=b"\xff{",
    error="invalid-utf8",
    reason="The record is not UTF-8: byte 0 can't be read.",
)


def test_it_reads_what_was_written() -> None:
    stored = FakeRecord(
        topic="t.x.dlq",
        key=key_of(LETTER),
        value=LETTER.value,
        headers=headers_of(LETTER),
        timestamp=LETTER.timestamp_ms,
    )
    letter = read_letter(stored)
    assert letter.id == "t.x/3/42"
    assert letter.stored_key == b"t.x/3/42"
    assert (letter.topic, letter.timestamp_ms) == ("t.x", LETTER.timestamp_ms)
    assert (letter.key, letter.value) == (LETTER.key, LETTER.value)
    assert (letter.error, letter.reason) == (LETTER.error, LETTER.reason)


def test_a_tombstone_has_no_value_and_an_empty_value_is_one() -> None:
    assert (
        read_letter(FakeRecord(value=b"", key=b"t/0/1", headers=[("dlq.tombstone", b"true")])).value is None
    )
    assert read_letter(FakeRecord(value=b"", key=b"t/0/1")).value == b""


def test_headers_that_are_missing_or_unreadable_are_made_up_for() -> None:
    bare = read_letter(FakeRecord(topic="t.dlq", value=b"v", key=b"by hand", timestamp=7))
    assert (bare.id, bare.topic, bare.timestamp_ms, bare.key) == ("by hand", "t", 7, None)
    assert (bare.error, bare.reason) == ("?", "")
    odd = read_letter(
        FakeRecord(
            topic="t.dlq",
            value=b"v",
            key=b"\xff/0/1",
            timestamp=7,
            headers=[("dlq.timestamp", b"noon"), ("dlq.reason", b"\xff"), ("dlq.topic", b"another")],
        )
    )
    assert (odd.id, odd.topic, odd.timestamp_ms, odd.reason) == ("\\xff/0/1", "t", 7, "\\xff")
