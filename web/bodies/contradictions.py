"""Two statements of one request about the same thing with one date: nobody can say which one is meant."""

from collections.abc import Hashable

from app.core.errors import InvalidError


class Statements:
    """What one request says, by the thing and its date. The same statement twice is one; the order means nothing.

    Of statements with different dates the newest wins, in one request as in two.
    """

    def __init__(self) -> None:
        self._said: dict[Hashable, tuple[object, str]] = {}

    def add(self, thing: Hashable, statement: object, path: str, what: str) -> None:
        """Note the statement at `path`; `what` names its thing for people.

        Raises InvalidError where another one about the same thing came before.
        """
        said, before = self._said.setdefault(thing, (statement, path))
        if said != statement:
            raise InvalidError(
                f"{path} contradicts {before}: both are about {what}, with the same date. Send one of them.",
                code="contradiction",
                field=path,
            )
