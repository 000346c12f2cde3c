"""Why a parser refused a body: a field that can't be stored, or text that is not JSON at all.

Used after a failure only. It walks tokens without recursion, so that no nesting can exhaust the stack, and
looks at the first part of a body only, so that a refusal stays cheap.
"""

import json
import re
from typing import Final

from app.core.errors import InvalidError
from app.core.field_paths import path_of
from app.core.validation import MAX_DEPTH, check_json_text

_LOOKS_AT_CHARACTERS: Final = 256 * 1024
_ENVELOPE_PARTS: Final = 4  # entities[0].properties.name: deeper parts are within a value
_TOKEN: Final = re.compile(
    r'[ \t\r\n]*(?:(?P<string>"(?:[^"\\\x00-\x1f]|\\.)*")|(?P<mark>[\[\]{},:])|(?P<plain>[^\s\[\]{},:"]+))'
)
_NOT_JSON: Final = frozenset({"NaN", "Infinity", "-Infinity"})

Parts = list[str | int]


def explain(text: str) -> InvalidError | None:
    """Name the first field that can't be stored; None where the text is just not well-formed."""
    walk = _Walk()
    position, end = 0, min(len(text), _LOOKS_AT_CHARACTERS)
    while position < end:
        match = _TOKEN.match(text, position, end)
        if match is None:
            return None
        position = match.end()
        if match["mark"]:
            if not walk.mark(match["mark"]):
                return None
            if len(walk.parts) > MAX_DEPTH + _ENVELOPE_PARTS:
                return _error(walk.parts, f"is nested deeper than {MAX_DEPTH} levels", "nested-too-deep")
        elif match["plain"]:
            if match["plain"] in _NOT_JSON:
                return _error(walk.parts, "is not a JSON value; use null", "not-a-number")
        else:
            try:
                check_json_text(match["string"], path_of(walk.parts[:_ENVELOPE_PARTS]), len(text) * 4)
            except InvalidError as error:
                return error
            walk.string(match["string"])
    return None


def _error(parts: Parts, what: str, code: str) -> InvalidError:
    field = path_of(parts[:_ENVELOPE_PARTS])
    return InvalidError(f"{field or 'The body'} {what}.", code=code, field=field or None)


class _Walk:
    """Where in the document a token stands: one part for each open object or array."""

    def __init__(self) -> None:
        self.parts: Parts = []
        self._expects_name = False

    def mark(self, mark: str) -> bool:
        """Step over a structural character; false where it can't stand here."""
        match mark:
            case "{":
                self.parts.append("")
                self._expects_name = True
            case "[":
                self.parts.append(0)
                self._expects_name = False
            case "]" | "}":
                if not self.parts:
                    return False
                self.parts.pop()
                self._expects_name = False
            case ",":
                if not self.parts:
                    return False
                last = self.parts[-1]
                self._expects_name = isinstance(last, str)
                if isinstance(last, int):
                    self.parts[-1] = last + 1
            case ":":
                self._expects_name = False
        return True

    def string(self, token: str) -> None:
        if self._expects_name and self.parts:
            try:
                self.parts[-1] = str(json.loads(token))
            except ValueError:
                self.parts[-1] = "?"
