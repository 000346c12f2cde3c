"""What an answer is made of beside its trees: the ids of a page, tags, and where the parts came from."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from app.core.errors import InvalidError
from app.ports.graph import Answer
from storage.read.budget import Cost
from storage.read.outcome import Reading
from storage.read.walking import apart

_ETAG_OF_NOTHING: Final = blake2b(b"[]", digest_size=10).hexdigest()


def too_much(fit: int, count: int) -> InvalidError:
    """The refusal of a batch of which the first ids fit into one answer."""
    return InvalidError(
        f"The trees of {count} ids are more than one answer holds: the first {fit} fit. Ask for so many at a time, or "
        "for a lesser depth.",
        code="too-much",
        field="entity_ids",
    )


async def listed(bodies: Sequence[bytes]) -> bytes:
    """A JSON array of these, copied once; by a thread where it is large."""
    parts = [b"["]
    for body in bodies:
        parts += (body, b",")
    parts[max(1, len(parts) - 1) :] = (b"]",)
    return await apart(Cost(size_bytes=sum(map(len, parts))), b"".join, parts)


def page(ids: list[int], after: int, limit: int) -> list[int]:
    """The ids of a page, and one more where another page follows."""
    return [i for i in ids if i > after][: limit + 1] if after else ids[: limit + 1]


def next_after_of(ids: list[int], limit: int) -> int | None:
    """The id after which the next page starts; None where this one is the last."""
    return ids[limit - 1] if len(ids) > limit else None


def etag_of_page(etags: Sequence[str], *, has_next: bool) -> str:
    if not etags:
        return _ETAG_OF_NOTHING
    if len(etags) == 1 and not has_next:
        return etags[0]  # of another URL than the tree's own
    more = "+" if has_next else ""
    return blake2b(f"{more} {' '.join(etags)}".encode(), digest_size=12).hexdigest()


def answer_of(reading: Reading, body: bytes | None, etag: str, next_after: int | None = None) -> Answer:
    outcome = reading.outcome
    return Answer(
        body=body,
        etag=etag,
        cache=outcome,
        stored=outcome == "miss" and reading.stored and reading.verified,
        verified=reading.verified,
        next_after=next_after,
        upper=reading.upper,
        read_at=reading.read_at,
    )
