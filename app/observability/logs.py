"""Logs: text for people, or one JSON object a line. Messages hold no user data; so do our extras."""

import logging
import logging.config
from datetime import UTC, datetime
from typing import Any, Final

import orjson

_TEXT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, the process of several, the record's extras, and an error's trace."""

    def __init__(self, process: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._process = {} if process is None else {"process": process}

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._process,
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def config(log_format: str, level: str = "INFO", *, process: str | None = None) -> dict[str, Any]:
    """A logging.config dictionary; everything goes to stderr. `process` is told where a worker has several."""
    formatter: dict[str, Any] = (
        {"format": _TEXT if process is None else f"[{process}] {_TEXT}"}
        if log_format == "text"
        else {"()": "app.observability.logs.JsonFormatter", "process": process}
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "filters": {"chain": {"()": "app.observability.audit_chain.Chain"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": level, "handlers": ["stderr"]},
        "loggers": {
            # aiokafka reports each rebalance several times at INFO.
            "aiokafka": {"level": "WARNING"},
            # Faust's timers warn where what they do takes longer than their interval: a commit waits for the broker,
            # and its watch takes a turn of the loop for each partition. Neither says that a turn was long, which
            # profile_loop_late_seconds does, nor that nothing is committed, which the progress watch does.
            "mode.timers": {"level": "ERROR"},
            # One line for each request costs more than the request; failures are WARNING and stay.
            "web.access": {"level": "WARNING"},
            "audit": {"filters": ["chain"]},
        },
    }
