"""Consistency tokens (design, section 5, rule 8): a position in the WAL, and of which database it is one.

A client that sends back the token of a write sees that write; one that sends back the last token that it got never
goes back in time, whichever server answers.

Positions are multiples of eight, and the lowest bit of a token says who showed it. A replica shows a commit as soon as
it has replayed it, which may be before the primary does; what the primary has shown it shows for ever. So a read of
the primary satisfies each token of a write, and of the primary, at once, and one of a replica only when the primary
shows every commit up to there.

A token is `<system identifier>.<timeline>.<database>-<position>`. In place of the timeline stands a signature over all
four, ten digits that begin with no zero: a worker of the version before, which signs nothing, takes it for another
timeline, and such a token is satisfied by what the primary has now. Its own tokens are accepted by this version, since
a position that the primary has not come to is refused.
"""

import hmac
import re
from collections.abc import Callable, Iterable
from typing import Final

from app.core.errors import InvalidError
from app.core.signing import Signer

HEADER: Final = "Consistency-Token"
_TOKEN: Final = re.compile(r"(\d{1,20})\.(\d{1,10})\.(\d{1,10})-([0-9a-f]{1,16})", re.ASCII)


_PURPOSE: Final = b"token"
_SMALLEST_TAG: Final = 1_000_000_000  # beyond any timeline
_LARGEST_TAG: Final = 10_000_000_000
_TIMELINES_BEFORE: Final = 100  # of which tokens are known; each is a failover

_ALIGNMENT: Final = 8
_OF_REPLICA: Final = 1


def of_replica(position: int) -> int:
    """The token of what a replica shows that has replayed so much."""
    return position if position % _ALIGNMENT else position + _OF_REPLICA


def is_of_replica(token: int) -> bool:
    """Whether a replica has shown it, of which the primary may show less."""
    return token % _ALIGNMENT == _OF_REPLICA


def position_of(token: int) -> int:
    """The position that an answer has to have reached."""
    return token - _OF_REPLICA if is_of_replica(token) else token


def latest(tokens: Iterable[int]) -> int:
    """The token of an answer of several parts: of a replica where one of them is; 0 where there is none."""
    known = list(tokens)
    highest = max(known, default=0)
    if is_of_replica(highest) or not any(map(is_of_replica, known)):
        return highest
    return of_replica(highest)


class Tokens:
    """Spells and reads tokens; `database` is what is true now: `<system identifier>.<timeline>.<database>`."""

    def __init__(self, database: Callable[[], str], signer: Signer) -> None:
        self._database = database
        self._signer = signer
        self.highest = 0  # of the positions that are known to exist: no server is behind them for long

    def spell(self, position: int) -> str:
        self.highest = max(self.highest, position)
        system, timeline, name = self._database().split(".")
        return f"{system}.{self._tag(system, timeline, name, position)}.{name}-{position:x}"

    def _tag(self, system: str, timeline: str, name: str, position: int) -> str:
        content = f"{system}.{timeline}.{name}-{position:x}".encode()
        number = int.from_bytes(self._signer.tag(_PURPOSE, content), "big")
        return str(_SMALLEST_TAG + number % (_LARGEST_TAG - _SMALLEST_TAG))

    def read(self, text: str) -> int | None:
        """The position; None for one of another timeline, which can't be compared. Raises InvalidError."""
        match = _TOKEN.fullmatch(text.strip())
        if match is None:
            raise InvalidError(
                f"{HEADER} is not one of this service's tokens; send the one of an answer as it was.",
                code="unreadable-token",
                field=HEADER,
            )
        system, timeline, name, position = match.groups()
        our_system, our_timeline, our_name = self._database().split(".")
        if (system, name) != (our_system, our_name):
            raise InvalidError(
                f"{HEADER} comes from another database; leave it out once.",
                code="foreign-token",
                field=HEADER,
            )
        reached = int(position, 16)
        if len(timeline) < len(str(_SMALLEST_TAG)):  # of the version before
            return reached if timeline == our_timeline else None
        if self._is_signed(timeline, system, our_timeline, name, reached):
            return reached
        latest_before = int(our_timeline) - 1
        for number in range(latest_before, max(0, latest_before - _TIMELINES_BEFORE), -1):
            if self._is_signed(timeline, system, str(number), name, reached):
                return None
        raise InvalidError(
            f"{HEADER} is not as this service gave it; send the one of an answer as it was, or leave it out once.",
            code="unsigned-token",
            field=HEADER,
        )

    def _is_signed(self, tag: str, system: str, timeline: str, name: str, position: int) -> bool:
        return hmac.compare_digest(tag, self._tag(system, timeline, name, position))
