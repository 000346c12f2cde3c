"""What `python -m app doctor` finds."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`warn`: it works, and will not always."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: a stable name, what is the case, and the way out where that is not well."""

    level: Level
    name: str
    what: str
    mend: str = ""


Check = Callable[[], Awaitable[Sequence[Finding]]]


def failed(name: str, what: object, *, mend: str) -> Finding:
    """What does not work; `what` may be the error."""
    return Finding(level=Level.FAIL, name=name, what=str(what), mend=mend)


def judged(name: str, *, well: bool, what: str, mend: str, level: Level = Level.FAIL) -> Finding:
    """`ok` without a way out, or `level` with it."""
    return (
        Finding(level=Level.OK, name=name, what=what)
        if well
        else Finding(level=level, name=name, what=what, mend=mend)
    )


def unreachable(name: str, error: Exception, setting: str, level: Level = Level.FAIL) -> Finding:
    """A server that does not answer, or is not the one that `setting` means."""
    return Finding(level=level, name=name, what=str(error), mend=f"start the server, or mend {setting}")


def lines_of(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each, and one more for each way out."""
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        yield f"{finding.level:<4}  {finding.name:<{width}}  {finding.what}"
        if finding.mend:
            yield f"      {'':<{width}}  → {finding.mend}"
