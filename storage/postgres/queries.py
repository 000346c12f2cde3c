"""Loads the named queries of storage/sql/*.sql."""

import re
from functools import cache
from pathlib import Path
from typing import Final

DIRECTORY: Final = Path(__file__).parents[1] / "sql"
_NAME: Final = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def load(directory: Path = DIRECTORY) -> dict[str, str]:
    """All queries by name. Raises ValueError where a name occurs twice."""
    found: dict[str, str] = {}
    for path in sorted(directory.glob("*.sql")):
        _, *parts = _NAME.split(path.read_text())
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"{path.name} names the query {name} again")
            found[name] = text.strip().rstrip(";")
    return found


def query(name: str) -> str:
    """The text of one query."""
    return load()[name]
