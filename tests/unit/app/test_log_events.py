"""A line of the log that operators alert on has its event, as JSON."""

import json
import logging

import pytest

from app.errors import TransientError
from app.log_events import LogEvent
from app.logs import JsonFormatter
from app.retry import RetryPolicy


async def test_a_json_line_has_the_event(caplog: pytest.LogCaptureFixture) -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise TransientError("It is away.")

    with caplog.at_level(logging.WARNING):
        await RetryPolicy(attempts=2, first_pause_s=0).run("The flush", attempt)
    (record,) = caplog.records
    line = json.loads(JsonFormatter().format(record))
    assert line["event"] == LogEvent.ATTEMPT_FAILED == "attempt.failed"
    assert line["message"] == "The flush failed (attempt 1 of 2): It is away."
