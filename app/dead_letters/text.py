"""Dead letters as text for a terminal. What a record holds is a stranger's: no sign of it reaches the terminal raw."""

import msgspec

from app.core.dates import from_epoch_ms, to_text
from app.core.records import StoredLetter
from app.core.text import printable


def line_of(letter: StoredLetter) -> str:
    """`id  time  error  reason`, tab-separated; nothing of the value."""
    cells = (letter.id, _time_of(letter.timestamp_ms), letter.error, letter.reason)
    return "\t".join(printable(cell) for cell in cells)


def page_of(letter: StoredLetter) -> str:
    """The id, the time, every header, and the value: indented where it is JSON, else as a Python literal."""
    lines = [printable(letter.id), f"time: {_time_of(letter.timestamp_ms)}"]
    lines += [
        f"{printable(name)}: {printable(content.decode(errors='backslashreplace'))}"
        for name, content in letter.headers
    ]
    return "\n".join([*lines, "", _value_of(letter.value)])


def _value_of(value: bytes | None) -> str:
    if value is None:
        return "(no value: a tombstone)"
    try:
        # Not json: numbers stay digit for digit. It does not look into strings, hence the decoding.
        pretty = msgspec.json.format(value.decode(), indent=2)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return repr(value)
    return "\n".join(printable(line) for line in pretty.split("\n"))


def _time_of(milliseconds: int) -> str:
    try:
        return to_text(from_epoch_ms(milliseconds))
    except OverflowError:  # a producer that counts in microseconds is a good reason for a dead letter
        return f"{milliseconds} ms"
