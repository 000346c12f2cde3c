"""Which dead letters are meant."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from app.core.records import StoredLetter


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """All that is set must hold; a letter is of one of `topics` or has one of `ids`, where any are named."""

    topics: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    error: str | None = None
    since_ms: int | None = None  # of the original record's time, itself included
    until_ms: int | None = None  # itself excluded
    key: str | None = None  # of the original record's key, or of the id; `*` stands for any text

    @property
    def selects(self) -> bool:
        """Whether anything is set."""
        return self != LetterFilter()

    @property
    def topics_to_read(self) -> frozenset[str]:
        """The original topics that can hold such letters; none named means all."""
        return self.topics | {letter_id.partition("/")[0] for letter_id in self.ids}

    def matches(self, letter: StoredLetter) -> bool:
        named = not (self.topics or self.ids) or letter.topic in self.topics or letter.id in self.ids
        return (
            named
            and (self.error is None or letter.error == self.error)
            and (self.since_ms is None or letter.timestamp_ms >= self.since_ms)
            and (self.until_ms is None or letter.timestamp_ms < self.until_ms)
            and (self.key is None or _bears(letter, self.key))
        )


def _bears(letter: StoredLetter, pattern: str) -> bool:
    texts = [letter.id]
    if letter.key is not None:
        texts.append(letter.key.decode(errors="backslashreplace"))
    # Equal first: a key may hold the pattern's own signs.
    return any(text == pattern or fnmatchcase(text, pattern) for text in texts)
