"""Domain events: where they are published, and how they are followed."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from app.core.domain_event import DomainEvent
from app.core.records import OutgoingEvent, PublishedNote


class EventSink(Protocol):
    """Publishes domain events, and notes of which things consumers know by them."""

    async def publish(self, events: Sequence[OutgoingEvent], notes: Sequence[PublishedNote] = ()) -> None:
        """Send in order, notes last; return when the broker has acknowledged all of them. Raises TransientError."""
        ...


class NoteRegister(Protocol):
    """Whether the notes of a topic name everything that consumers know. Raises TransientError or FatalError."""

    async def complete(self, topic: str) -> bool:
        """Whether they have done so since some time."""
        ...

    async def note_complete(self, topic: str) -> None:
        """They do so from now on."""
        ...


class EventStream(Protocol):
    """Domain events for one reader, from its position on: in the order of each partition, each once."""

    @property
    def cursor(self) -> str:
        """The position after what was taken. Whoever asks for it later gets what follows, and nothing twice."""
        ...

    @property
    def gap(self) -> str | None:
        """Why events are missing between the reader's position and the first one here; None where none are."""
        ...

    @property
    def waits_for(self) -> str | None:
        """What keeps new events away; None where nothing does."""
        ...

    def take(self, wanted: Callable[[DomainEvent], bool]) -> DomainEvent | None:
        """The next event that is wanted; None where none is here yet.

        Raises StreamEndedError where the reader fell behind, or the process stops.
        """
        ...

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be more to take, or after so long. Raises as `take` does, and TransientError."""
        ...


class EventFeed(Protocol):
    """The domain events as they come."""

    def follow(self, after: str | None) -> AbstractAsyncContextManager[EventStream]:
        """A stream from this cursor on, by default from now on.

        Raises InvalidError (it is no cursor), BusyError (there are as many streams as there may be) or TransientError
        (Kafka does not answer).
        """
        ...

    def end_streams(self) -> None:
        """Make every stream raise StreamEndedError, and begin no other one."""
        ...


class StreamEndedError(Exception):
    """A stream is over; its reader may follow again from its cursor. The message says why."""
