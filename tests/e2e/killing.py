"""The application with a decoder that ends the process at one record, as a fault in a library would.

For `faust -A tests.e2e.killing worker`, by tests alone.
"""

import os
import signal
from typing import Any

from agents.entity_properties import EntityProperties
from app import app

__all__ = ["app"]

KILLER = b"kills whoever reads it"
_add = EntityProperties.add


def _deadly(self: Any, record: Any, batch: Any) -> None:
    if KILLER in (record.value or b""):
        os.kill(os.getpid(), signal.SIGKILL)
    _add(self, record, batch)


EntityProperties.add = _deadly  # type: ignore[method-assign]
