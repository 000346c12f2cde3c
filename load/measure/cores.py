"""Which core a measured server has for itself, and which one the load generator: on Linux with `taskset`."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """None where nothing is pinned."""

    server: int | None = None
    client: int | None = None
    beside: int | None = None  # for what else runs; the client's where there are two cores

    def __str__(self) -> str:
        if self.server is None:
            return "nothing is pinned to a core (no taskset, or one core alone)"
        return (
            f"measured servers are pinned to core {self.server}, wrk to core {self.client}, "
            f"what writes beside them to core {self.beside}"
        )


def choose(available: Sequence[int], *, can_pin: bool) -> Cores:
    """The first cores; none where there is one alone, since both would share it anyway."""
    if not can_pin or len(available) < 2:
        return Cores()
    server, client, *others = sorted(available)
    return Cores(server=server, client=client, beside=others[0] if others else client)


def of_this_machine() -> Cores:
    """The cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    available = [] if affinity is None else list(affinity(0))
    return choose(available, can_pin=shutil.which("taskset") is not None)


def pinned(command: Sequence[str], core: int | None) -> list[str]:
    """The command on that core alone; its process id is the command's own."""
    return [*command] if core is None else ["taskset", "-c", str(core), *command]
