"""/metrics and /readyz of all processes of a worker, whichever of them is asked."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from app.core.errors import TransientError
from app.ports.health import DependencyState
from app.worker.processes.channel import METRICS, READY, ask

_LIMIT_S: Final = 1.8  # of another process, below that of a probe of /readyz
ANSWER_LIMIT_S: Final = 1.6  # of its own probes, below that of who asks it
_HELP: Final = "# HELP "


def merged(pages: Iterable[str]) -> str:
    """One page of several in Prometheus' text format, each family once; their samples differ by a label."""
    families: dict[str, list[str]] = {}
    for page in pages:
        for block in page.split(_HELP)[1:]:
            name = block[: block.index(" ")]
            help_line, type_line, samples = block.split("\n", 2)
            if name in families:
                families[name].append(samples)
            else:
                families[name] = [f"{_HELP}{help_line}\n{type_line}\n", samples]
    return "".join(text for family in families.values() for text in family)


class MergedMetrics:
    """The pages of this process and of the others. One that does not answer is left out."""

    def __init__(
        self, own: Callable[[], tuple[bytes, str]], directory: Path, siblings: Sequence[str]
    ) -> None:
        self._own = own
        self._directory = directory
        self._siblings = siblings

    async def page(self) -> tuple[bytes, str]:
        """The page and its content type."""
        found = await asyncio.gather(
            *(ask(self._directory, name, METRICS, limit_s=_LIMIT_S) for name in self._siblings),
            return_exceptions=True,
        )
        body, content_type = self._own()
        pages = [body, *(page for page in found if isinstance(page, bytes))]
        for error in found:
            if isinstance(error, BaseException) and not isinstance(error, TransientError):
                raise error
        return merged(page.decode() for page in pages).encode(), content_type


class SiblingProbe:
    """A probe of /readyz that tells what another process of this worker tells of itself."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name

    async def check(self) -> list[DependencyState]:
        """A line for the process, required, and its own lines."""
        line = f"process {self._name}"
        try:
            answer = await ask(self._directory, self._name, READY, limit_s=_LIMIT_S)
        except TransientError as error:
            return [DependencyState(name=line, ready=False, required=True, detail=str(error))]
        states = msgspec.json.decode(answer, type=list[DependencyState])
        return [
            DependencyState(name=line, ready=True, required=True, detail="answers"),
            *(dataclasses.replace(state, process=self._name) for state in states),
        ]
