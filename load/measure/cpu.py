"""CPU seconds of processes, user and system, from proc(5)."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _OWN, _ENDED_CHILDREN = 1, slice(11, 13), slice(13, 15)  # after the name in parentheses
_LISTENS: Final = "0A"


def process_s(pid: int) -> float:
    """What a process used, all threads. Raises OSError where it does not live."""
    return sum(map(int, _stat(pid)[_OWN])) / _TICKS_PER_S


def threads_s(pid: int) -> dict[str, float]:
    """What the threads of a process used that live now, by their names, of which Linux keeps 15 characters."""
    found: dict[str, float] = {}
    for task in (_PROC / str(pid) / "task").iterdir():
        with suppress(OSError):  # it ended meanwhile
            used = (task / "stat").read_text("utf-8").rpartition(")")[2].split()
            label = (task / "comm").read_text("utf-8").strip()
            found[label] = found.get(label, 0.0) + sum(map(int, used[_OWN])) / _TICKS_PER_S
    return found


def family_s(pid: int) -> float:
    """What a process and its children used; those that ended count from when they were waited for."""
    own = _stat(pid)
    ticks = sum(map(int, [*own[_OWN], *own[_ENDED_CHILDREN]]))
    for child in children(pid):
        with suppress(OSError):  # it ended meanwhile
            ticks += sum(map(int, _stat(child)[_OWN]))
    return ticks / _TICKS_PER_S


def parent(pid: int) -> int:
    """The process that started this one. Raises OSError where it does not live."""
    return int(_stat(pid)[_PARENT])


def name(pid: int) -> str | None:
    """The name of a process; None where there is none on this machine."""
    try:
        return (_PROC / str(pid) / "comm").read_text("utf-8").strip()
    except OSError:
        return None


def listener(port: int) -> int | None:
    """The process that listens on a TCP port of this machine; None where none is seen from here."""
    sockets = {
        f"socket:[{line.split()[9]}]"
        for table in ("tcp", "tcp6")
        for line in _lines(_PROC / "net" / table)
        if line.split()[3] == _LISTENS and int(line.split()[1].rpartition(":")[2], 16) == port
    }
    for process in sorted(_PROC.glob("[0-9]*"), key=lambda path: int(path.name)):
        with suppress(OSError):  # it ended, or is another user's
            if any(str(each.readlink()) in sockets for each in (process / "fd").iterdir()):
                return int(process.name)  # children that inherited the socket have higher numbers
    return None


def _lines(path: Path) -> Sequence[str]:
    try:
        return path.read_text("ascii").splitlines()[1:]
    except OSError:
        return ()


def _stat(pid: int) -> Sequence[str]:
    return (_PROC / str(pid) / "stat").read_text("utf-8").rpartition(")")[2].split()


def children(pid: int) -> list[int]:
    """The processes that it started and that live."""
    return [
        int(child)
        for task in (_PROC / str(pid) / "task").glob("*/children")
        for child in task.read_text("ascii").split()
    ]
