"""Servers that a test may kill: PostgreSQL and Kafka beside the shared ones, a thousand ports further."""

import signal
from dataclasses import replace

from infra import stack
from infra.services import SERVICES
from infra.settings import InfraSettings


class OwnStack:
    """One service of `postgres` and `kafka` at a time is stopped and started, by the pids that its files name."""

    def __init__(self, settings: InfraSettings) -> None:
        self.settings = settings

    def start(self, *names: str) -> None:
        """Return when they answer; what runs is left alone."""
        stack.up(self.settings, names)

    def stop(self, name: str, number: signal.Signals) -> None:
        """Send the signal to the service's first process, the primary or the broker; return when it is gone."""
        first = SERVICES[name](self.settings).processes()[0]
        replace(first, stop_signal=number).stop(self.settings.stop_timeout_s)

    def reset(self) -> None:
        """Stop both and remove their data."""
        stack.reset(self.settings, ["postgres", "kafka"])
