"""A task that is tried again and again logs its first failure, and no other before it has succeeded."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from app.core.errors import ProfileError
from app.core.log_events import LogEvent


class FailureLog:
    """One for each task. `message` has one `%s`, for the reason; `event` is for alerts."""

    def __init__(self, logger: logging.Logger, message: str, *, event: LogEvent | None = None) -> None:
        self._logger = logger
        self._message = message
        self._extra = None if event is None else event.extra
        self._failing = False

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Raises nothing but what cancels the task: an exception from within is logged, and the caller tries again.

        Only the message of a ProfileError is logged; that of another may quote a row or a record.
        """
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the next attempt begins from the start
            if not self._failing:
                reason = str(error) if isinstance(error, ProfileError) else type(error).__name__
                self._logger.warning(self._message, reason, extra=self._extra)
            self._failing = True
        else:
            self._failing = False
