"""What a process knows of the worker that started it, and what it does when that worker is gone."""

import faulthandler
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from app.core.process import EX_SOFTWARE

logger = logging.getLogger(__name__)

VARIABLE: Final = "PROFILE_PROCESS"
_END_S: Final = 50.0  # longer than a process takes to stop, which has its own limit


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One process of several. `lifeline` is a pipe's end that ends with the process that started it."""

    name: str
    kind: str
    among: int  # of how many of its kind it is one
    siblings: Sequence[str]
    directory: str
    lifeline: int

    @classmethod
    def of_environment(cls) -> Self | None:
        """Who this process is; None where it is all of its worker."""
        told = os.environ.get(VARIABLE)
        return None if told is None else msgspec.json.decode(told, type=cls)

    @property
    def place(self) -> Path:
        """The directory of the worker's sockets."""
        return Path(self.directory)

    def environment(self) -> dict[str, str]:
        return {VARIABLE: msgspec.json.encode(self).decode()}

    def watch_lifeline(self) -> None:
        """End this process when the one that started it is gone, however busy its event loop is.

        It is asked to stop as by an operator, and is ended where it does not. Called once.
        """
        faulthandler.enable()  # a process that hangs is ended by SIGABRT: its log tells where it was
        os.set_inheritable(self.lifeline, False)
        threading.Thread(target=self._end_with_it, name="lifeline", daemon=True).start()

    def _end_with_it(self) -> None:
        os.read(self.lifeline, 1)  # nobody writes: it returns when the other end is closed
        logger.warning("The process that started this one is gone; it stops.")
        shutil.rmtree(self.directory, ignore_errors=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_END_S)
        os._exit(EX_SOFTWARE)
