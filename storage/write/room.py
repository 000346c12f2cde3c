"""Whether the primary's disk has room, as far as this process' writes have found out: a read can't tell."""

from typing import Final

from app.core.clock import Clock

_FORGOTTEN_S: Final = 60.0  # where nothing is written any more, nobody knows


class Room:
    """What the latest writes said of it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lacks: tuple[str, float] | None = None

    def lacks(self, why: str) -> None:
        """A write failed for that."""
        self._lacks = why, self._clock.monotonic()

    def found(self) -> None:
        """A write succeeded."""
        self._lacks = None

    @property
    def lacking(self) -> str | None:
        """Why writes fail, where one has failed for that lately and none succeeded since."""
        if self._lacks is None or self._clock.monotonic() - self._lacks[1] > _FORGOTTEN_S:
            return None
        return self._lacks[0]
