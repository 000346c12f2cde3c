"""What the demo prints: numbered steps, facts, and failures with a reason."""

import sys
import time

from load.errors import LoadError


class DemoError(LoadError):
    """The demo can't go on; the message is the reason and the way out."""


class Console:
    """Prints steps with the seconds since the start."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0
        self._started = time.monotonic()
        self._bold, self._dim, self._off = (
            ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
        )

    def step(self, text: str) -> None:
        self._step += 1
        seconds = time.monotonic() - self._started
        title = f"{self._bold}[{self._step}/{self._steps}] {text}{self._off}"
        print(f"\n{title} {self._dim}({seconds:.0f} s){self._off}", flush=True)

    def say(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def block(self, text: str) -> None:
        for line in text.splitlines():
            print(f"    {line}", flush=True)
