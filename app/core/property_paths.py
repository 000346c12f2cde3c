"""How a look-up names a property: `email`, `document.number`, `"utm.source".medium`.

Dots separate segments. One that begins with a double quote ends at the next one, and holds dots and all else as they
are; within it `\\"` is a quote and `\\\\` a backslash. The storage's own segment `value` after the field may be written
or left out, but in quotes it is a member of that name.
"""

import re
from typing import Final

from app.core.errors import InvalidError

_QUOTED: Final = re.compile(r'(?:\A|\.)"')
_SEGMENT: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"|((?!")[^.]*)', re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def is_quoted(path: str) -> bool:
    """Whether a segment of the path stands in quotes."""
    return '"' in path and _QUOTED.search(path) is not None


def segments_of(path: str) -> list[str]:
    """The field and the members below it, without the storage's segment.

    Raises InvalidError where a quote is not closed, or something stands between it and the next dot.
    """
    segments: list[tuple[str, bool]] = []
    position = 0
    while position <= len(path):
        found = _SEGMENT.match(path, position)
        if found is None or path[found.end() : found.end() + 1] not in ("", "."):
            raise InvalidError(
                'prop has a segment that begins with a quote and does not end with one: write "utm.source".medium, '
                'and a quote within quotes as \\".',
                code="invalid-path",
                field="prop",
            )
        quoted, plain = found.groups()
        segments.append((plain, False) if quoted is None else (_ESCAPED.sub(r"\1", quoted), True))
        position = found.end() + 1
    if len(segments) > 1 and segments[1] == ("value", False):
        del segments[1]
    return [text for text, _ in segments]
