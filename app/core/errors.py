"""The errors that the parts speak of: retry it, refuse it, or stop.

Each adapter translates its driver's exceptions into these in one place. A message is a sentence
with the cause and, where there is one, the way out; it never holds a value of a user's data.
"""


class ProfileError(Exception):
    """The root of this tree."""


class TransientError(ProfileError):
    """The same call may succeed later: a lost connection, a deadlock, a server in recovery."""


class TooMuchAtOnceError(TransientError):
    """It ran out of time or memory. The same call may succeed with a part of its input."""


class FullError(TransientError):
    """A server has no room left on its disk. The same call succeeds when there is room again."""


class TooDearError(TransientError):
    """A question that takes longer than any question may; its server is well. The message is fit for the client."""


class BusyError(TransientError):
    """This process does as much of it as it may. The message is fit for the client, who may try again after a while."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class InvalidError(ProfileError):
    """The input can't be accepted, now or later: a dead letter (topics) or a 422 (HTTP).

    `code` is a short stable name for headers, filters and metrics, such as `missing-field`. `entity` is the (type,
    reference) of the one that a refusal is about, where the store refuses it.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "invalid",
        field: str | None = None,
        entity: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.entity = entity


class AmbiguousReferenceError(InvalidError):
    """A reference without a type that several entities bear."""

    def __init__(self, reference: str, candidates: list[str]) -> None:
        super().__init__(
            f"The reference {reference!r} is borne by entities of the types {', '.join(candidates)}: "
            "name source_type or target_type.",
            code="ambiguous-reference",
        )
        self.reference = reference
        self.candidates = candidates


class FatalError(ProfileError):
    """The process can't go on: the schema is older than the code, retries ran out, a setting is wrong."""
