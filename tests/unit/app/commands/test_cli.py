import os
import subprocess
import sys

import pytest

from app.__main__ import main
from app.core.errors import FatalError


async def refuse(dsn: str) -> list[str]:
    raise FatalError("The migration 0001 was changed after it was applied: restore the file.")


async def applied(dsn: str) -> list[str]:
    return ["0001_schema"]


def test_an_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("storage.postgres.migrator.migrate", refuse)
    assert main(["migrate"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "error: The migration 0001 was changed after it was applied: restore the file.\n"


def test_a_wrong_setting_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROFILE_WEB_PORT", "a secret")
    assert main(["migrate"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: PROFILE_WEB_PORT: ")
    assert "secret" not in told
    assert told.count("\n") == 1


def test_migrations_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("storage.postgres.migrator.migrate", applied)
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "applied 0001_schema\n"


def test_wrong_usage_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["list", "--since", "yesterday"], "'yesterday' is not a date"),
        (["list", "--until", "2025-13-01"], "is not a date"),
        (["list", "t/0"], "'t/0' is not an id: expected topic/partition/offset"),
        (["replay", "t/0/x"], "is not an id"),
        (["show"], "ID"),
        (["show", "t"], "is not an id"),
        (["drop"], "or --all"),
        (["drop", "--yes"], "or --all"),
        (["mend"], "invalid choice"),
    ],
)
def test_wrong_usage_of_dead_letters_is_code_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["dlq", *arguments])
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["list"], ["show", "payment.events/0/1"], ["replay", "--dry-run"], ["drop", "--all", "--yes"]],
)
def test_a_broker_that_is_away_is_one_line(arguments: list[str]) -> None:
    # A process of its own, since pytest hears what the Kafka client logs before it reaches stderr.
    done = subprocess.run(
        [sys.executable, "-m", "app", "dlq", *arguments],
        env=os.environ | {"PROFILE_KAFKA_BROKERS": "127.0.0.1:1", "PROFILE_TOPIC_PREFIX": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: Kafka at 127.0.0.1:1 does not answer (KafkaConnectionError): start it, "
        "or set PROFILE_KAFKA_BROKERS.\n"
    )


@pytest.mark.parametrize(
    "arguments", [["--sample", "0"], ["--sample", "x"], ["--grace", "-1"], ["--grace", "nan"]]
)
def test_wrong_usage_of_the_audit_is_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    assert ended.value.code == 2
    assert f"{arguments[1]!r} is not a number of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "Give --before"),
        (["--before", "2999-01-01"], "Give --before"),
        (["--before", "soon"], "--before"),
    ],
)
def test_wrong_usage_of_the_expiry_is_code_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["expire-points", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    told = capsys.readouterr()
    assert says in told.out + told.err
