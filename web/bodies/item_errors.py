"""What a dry run refuses item by item, where a write is refused as a whole."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Literal, NamedTuple, TypeVar

from app.core.errors import InvalidError

Kind = Literal["entity", "property", "relationship", "temporal"]
T = TypeVar("T")


class Refusal(NamedTuple):
    kind: Kind
    error: InvalidError


class Refusals(list[Refusal]):
    """The refusals of one request, in the order of its items as far as it is judged alone."""

    @contextmanager
    def kept(self, kind: Kind) -> Iterator[None]:
        """Keep an InvalidError that is raised within, instead of letting it end the request."""
        try:
            yield
        except InvalidError as error:
            self.append(Refusal(kind, error))


_RAISED: Final = nullcontext()


def judging(kind: Kind, refusals: Refusals | None) -> AbstractContextManager[None]:
    """Surrounds the judgement of one item; without `refusals` the first error ends the request."""
    return _RAISED if refusals is None else refusals.kept(kind)


def decoded(item: T | InvalidError) -> T:
    """The item, where it could be decoded. Raises the InvalidError that stands in its place."""
    if isinstance(item, InvalidError):
        raise item
    return item
