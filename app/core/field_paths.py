"""JSON paths as problems name them: `entities[0].properties.name`."""

import json
import re
from collections.abc import Iterable
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_MAX_NAME_CHARACTERS: Final = 64


def join(parent: str, part: str | int) -> str:
    """Append a member's name or an item's index. A name that is not plain stands in quotes, as ASCII."""
    if isinstance(part, int):
        return f"{parent}[{part}]"
    if _PLAIN.fullmatch(part) and len(part) <= _MAX_NAME_CHARACTERS:
        return f"{parent}.{part}" if parent else part
    short = part if len(part) <= _MAX_NAME_CHARACTERS else f"{part[:_MAX_NAME_CHARACTERS]}…"
    return f"{parent}[{json.dumps(short)}]"


def path_of(parts: Iterable[str | int]) -> str:
    path = ""
    for part in parts:
        path = join(path, part)
    return path
