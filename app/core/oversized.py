"""What stands in the place of a batch of records that would unpack to more than a process may hold."""

from typing import Final

from app.core.errors import InvalidError

CODE: Final = "batch-too-large"


class OversizedBatch(bytes):
    """The value of the record that stands for such a batch. It is empty, and no producer can send one."""

    first_offset: int
    last_offset: int
    codec: str
    limit: int  # bytes

    @property
    def reason(self) -> str:
        """A sentence for operators."""
        return (
            f"The records {self.first_offset} to {self.last_offset} are one {self.codec} batch that unpacks to more "
            f"than {self.limit} bytes. They are still in the topic: raise PROFILE_FETCH_MAX_UNPACKED_BYTES and read "
            f"the partition again from {self.first_offset}, or let the producer send smaller batches."
        )


def refuse_oversized(value: bytes | None) -> None:
    """Raise InvalidError where a record stands for a batch that was not unpacked."""
    if type(value) is OversizedBatch:
        raise InvalidError(value.reason, code=CODE)
