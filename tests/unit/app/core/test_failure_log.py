"""A failing task logs once, and says nothing that may be a user's data."""

import asyncio
import logging

import pytest

from app.core.errors import TransientError
from app.core.failure_log import FailureLog
from app.core.log_events import LogEvent

logger = logging.getLogger(__name__)


def attempt(failures: FailureLog, error: BaseException | None = None) -> None:
    with failures.attempt():
        if error is not None:
            raise error


def test_the_first_failure_is_logged_until_the_task_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog(logger, "It does not run: %s", event=LogEvent.CLOCK_OFF)
    attempt(failures, TransientError("The primary is away."))
    attempt(failures, TransientError("The primary is away."))
    assert [(each.getMessage(), each.__dict__["event"]) for each in caplog.records] == [
        ("It does not run: The primary is away.", "clock.off")
    ]
    attempt(failures)
    attempt(failures, ValueError("'a@example.com' is no number"))
    assert [each.getMessage() for each in caplog.records][1:] == ["It does not run: ValueError"]


def test_a_cancelled_task_ends(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(asyncio.CancelledError):
        attempt(FailureLog(logger, "It does not run: %s"), asyncio.CancelledError())
    assert not caplog.records
