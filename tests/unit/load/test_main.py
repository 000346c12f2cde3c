"""The command line."""

import pytest

from load.__main__ import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert all(name in told for name in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["postgres", "--users", "0"],
        ["postgres", "--until", "yesterday"],
        ["entity-properties", "--conflict-rate", "1.5"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_no_database_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PROFILE_POSTGRES_DSN", "postgresql://nobody:hidden@127.0.0.1:9/none")
    assert main(["entities-csv"]) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith("error: PostgreSQL does not answer")
    assert "hidden" not in told[0]
