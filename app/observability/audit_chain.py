"""Lines of the logger `audit` are a chain: each holds a hash over itself and the one before, so a missing one shows.

`python -m app` and each worker begin chains of their own. `chain` is `<chain>-<number>-<hash>`: of one chain the
numbers have no gap, and each hash is over the one before and the line's message and extras, as `link` takes them.
"""

import logging
import secrets
from hashlib import blake2b
from typing import Any, Final

import orjson

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "chain"}


class Chain(logging.Filter):
    """Adds `chain` to each record of one process."""

    def __init__(self) -> None:
        super().__init__()
        self._name = secrets.token_hex(6)
        self._number = 0
        self._last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        extras = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        self._number += 1
        self._last = link(self._last, record.getMessage(), extras)
        record.chain = f"{self._name}-{self._number}-{self._last}"
        return True


def link(before: str, message: str, extras: dict[str, Any]) -> str:
    """The hash of a line: of the hash before it (none: empty), its message and its extras."""
    content = orjson.dumps([before, message, extras], default=str, option=orjson.OPT_SORT_KEYS)
    return blake2b(content, digest_size=16).hexdigest()
