"""A line of the log that machines read has its event, as JSON; the registry, the calls and the page agree."""

import ast
import json
import logging
import logging.config
import re
from pathlib import Path

import pytest

from app.core.errors import TransientError
from app.core.log_events import LogEvent
from app.core.retry import RetryPolicy
from app.observability import logs
from app.observability.logs import JsonFormatter

ROOT = Path(__file__).parents[4]


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


@pytest.mark.parametrize(("log_format", "told"), [("text", "[web-2] "), ("json", '"process":"web-2"')])
def test_a_line_tells_the_process_of_several(log_format: str, told: str) -> None:
    record = logging.makeLogRecord({"msg": "It runs.", "levelname": "INFO"})
    for process, is_told in (("web-2", True), (None, False)):
        made = logging.config.DictConfigurator(logs.config(log_format, process=process))  # type: ignore[attr-defined]
        formatter = made.configure_formatter(made.config["formatters"]["line"])
        assert (told in formatter.format(record)) is is_told


def sources() -> dict[Path, ast.Module]:
    return {
        path.relative_to(ROOT): ast.parse(path.read_text())
        for package in ("app", "agents", "cdc", "storage", "web")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "log_events.py"
    }


def names_an_event(node: ast.AST) -> bool:
    """`{"event": …}`, `dict(event=…)`, `extra["event"] = …`."""
    match node:
        case ast.Dict(keys=keys):
            return any(isinstance(key, ast.Constant) and key.value == "event" for key in keys)
        case ast.Call(func=ast.Name(id="dict"), keywords=keywords):
            return any(keyword.arg == "event" for keyword in keywords)
        case ast.Subscript(slice=ast.Constant(value="event")):
            return True
    return False


def used(node: ast.AST) -> str | None:
    """X of `LogEvent.X.extra`, and of what is given a FailureLog: `event=LogEvent.X`."""
    match node:
        case ast.keyword(arg="event", value=ast.Attribute(attr=name, value=ast.Name(id="LogEvent"))):
            return name
        case ast.Attribute(attr="extra", value=ast.Attribute(attr=name, value=ast.Name(id="LogEvent"))):
            return name
    return None


def test_no_event_is_named_beside_the_registry() -> None:
    found = [
        f"{path}:{getattr(node, 'lineno', 0)}"
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if names_an_event(node)
    ]
    assert found == []


def test_each_event_of_the_registry_is_used_and_no_other() -> None:
    found = {used(node) for tree in sources().values() for node in ast.walk(tree)} - {None}
    assert found == {event.name for event in LogEvent}


def test_each_line_of_the_audit_has_an_event() -> None:
    """Its extra is one of the registry, or is put together with one in the same function."""
    calls = 0
    for path, tree in sources().items():
        functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            lines = [
                node
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("audit.")
            ]
            calls += len(lines)
            if not lines or all(arg.arg != "event" for arg in function.args.args):
                events = {used(node) for node in ast.walk(function)} - {None}
                assert len(events) >= len(lines), f"{path}: {function.name}"
    assert calls >= 4


def test_the_page_for_operators_lists_each_event() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    listed = [
        event
        for row in re.findall(r"^\| ((?:`[a-z._]+` ?)+) \|", page, re.MULTILINE)
        for event in re.findall(r"`([a-z._]+)`", row)
    ]
    assert sorted(listed) == sorted(LogEvent)
