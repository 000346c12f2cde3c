"""What `python -m app connector` says, and its exit codes."""

from datetime import UTC, datetime, timedelta

import pytest

from app.__main__ import main
from app.ports.capture import ConnectorPosition, ConnectorState, SlotState, TaskState
from cdc.connector.report import ConnectorReport

NOW = datetime(2025, 1, 15, tzinfo=UTC)


def report(*, task: str = "RUNNING", cause: str = "", lost: bool = False) -> ConnectorReport:
    return ConnectorReport(
        name="c",
        slot_name="s",
        slot=SlotState(
            active=not lost,
            wal_status="lost" if lost else "reserved",
            flushed=2000,
            confirmed=1000,
            lag_bytes=1000,
            retained_bytes=None if lost else 3000,
            safe_bytes=None if lost else 4000,
        ),
        connector=ConnectorState(state="RUNNING", tasks=(TaskState(number=0, state=task, cause=cause),)),
        position=ConnectorPosition(
            lsn=1500,
            committed_us=int((NOW - timedelta(seconds=4)).timestamp() * 1_000_000),
            commit_lsn=(7 << 32) + 0xABC,
        ),
        now=NOW,
    )


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> "list[ConnectorReport]":
    reports = [report()]

    async def look(_: object) -> ConnectorReport:
        return reports[0]

    monkeypatch.setattr("app.commands.connector._look", look)
    return reports


def test_status_tells_both_sides(told: list[ConnectorReport], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["connector", "status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "connector  c  RUNNING",
        "task 0     RUNNING",
        "published  up to 2025-01-14T23:59:56.000000Z, 4.0 s ago",
        "position   lsn_commit 7/ABC, lsn 0/5DC",
        "slot       s  reserved, active",
        "confirmed  0/3E8",
        "behind     1,000 bytes of WAL",
        "keeps      3,000 bytes of WAL; 4,000 more until the slot is lost",
    ]


def test_a_failed_task_is_told_with_its_cause(
    told: list[ConnectorReport], capsys: pytest.CaptureFixture[str]
) -> None:
    told[0] = report(task="FAILED", cause="PSQLException: no")
    assert main(["connector", "status"]) == 1
    said = capsys.readouterr()
    assert "task 0     FAILED  PSQLException: no" in said.out
    assert said.err.startswith(
        "error: The connector c failed (PSQLException: no); `python -m app connector restart`"
    )
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("action", ["apply", "resume", "restart"])
def test_nothing_goes_on_behind_a_gap(
    told: list[ConnectorReport], capsys: pytest.CaptureFixture[str], action: str
) -> None:
    told[0] = report(lost=True)
    assert main(["connector", action]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: The slot s is lost")
    assert "connector recover" in said
    assert said.count("\n") == 1


def test_what_runs_is_not_started_again(
    told: list[ConnectorReport], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["connector", "restart"]) == 0
    assert "Nothing of the connector" in capsys.readouterr().out


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PROFILE_CONNECT_URL", "http://127.0.0.1:1")
    assert main(["connector", "pause"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: Kafka Connect at http://127.0.0.1:1 does not answer")
    assert said.count("\n") == 1


def test_a_wrong_time_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["connector", "recover", "--since", "yesterday"])
    assert ended.value.code == 2
