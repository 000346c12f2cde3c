"""What an audit found as text: for the log, and for a terminal."""

from app.core.audit import Mismatch
from app.core.dates import to_text
from app.dead_letters.text import printable


def line_of(mismatch: Mismatch) -> str:
    """One line without a value; a path is what a stranger asked for."""
    return (
        f"{mismatch.kind} {printable(mismatch.subject)} in {mismatch.level}: cached at {mismatch.cached_position}, "
        f"read {to_text(mismatch.read_at)}; primary at {mismatch.primary_position}"
    )
