"""What consumers know by now: the notes, and the domain events that are still there."""

from dataclasses import dataclass

from app.config.settings import Settings
from app.core.errors import FatalError
from app.kafka.reading import bounds, read_to_end
from app.ports.events import NoteRegister
from cdc.recovery.noted_state import NotedView
from cdc.recovery.published_state import PublishedView, Thing


@dataclass(kw_only=True)
class Known:
    """`ends`: of each partition of the events' topic the offset up to which `view` has folded it."""

    notes: NotedView
    view: PublishedView
    ends: dict[int, int]

    async def go_on(self, settings: Settings) -> set[Thing]:
        """Fold the events that came since, and return the things that they tell of."""
        touched: set[Thing] = set()
        topic = settings.topics.domain_events
        async for records in read_to_end(settings.kafka, topic, after=self.ends):
            for record in records:
                touched.update(self.view.add(record))
                self.ends[record.partition] = record.offset + 1
        return touched


async def known_to_consumers(settings: Settings, register: NoteRegister, *, partly: bool = False) -> Known:
    """Notes first, then events: of both the later one counts, so that either may lack what the other has.

    Raises FatalError where the topic lost its first events before the notes were complete, unless `partly`: what
    those told is known from nowhere then.
    """
    topics = settings.topics
    starts = {
        number: start for number, (start, _) in (await bounds(settings.kafka, topics.domain_events)).items()
    }
    if any(starts.values()) and not partly and not await register.complete(topics.published):
        raise FatalError(
            f"{topics.domain_events} has lost its first events, and {topics.published} does not hold what they told: "
            "`python -m app connector recover --everything` tells consumers all that is there, and notes it. What "
            "they know and is gone by now, nothing can tell them."
        )
    notes = NotedView()
    async for records in read_to_end(settings.kafka, topics.published):
        for record in records:
            notes.add(record)
    known = Known(notes=notes, view=notes.view(), ends=starts)
    await known.go_on(settings)
    return known
