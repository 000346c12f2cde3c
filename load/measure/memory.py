"""Memory of processes, from proc(5)."""

from contextlib import suppress
from pathlib import Path

from load.measure.cpu import children


def family_mb(pid: int) -> list[float]:
    """Of a process and of each of its children, by age, in MiB; what they share is shared out among them.

    Raises OSError where the process itself ended.
    """
    found = [_proportional_kb(pid) / 1024]
    for child in sorted(children(pid)):
        with suppress(OSError):  # it ended meanwhile
            found.append(_proportional_kb(child) / 1024)
    return found


def _proportional_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
