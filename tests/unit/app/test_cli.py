import pytest

from app.__main__ import main
from app.errors import FatalError


async def refuse(dsn: str) -> list[str]:
    raise FatalError("The migration 0001 was changed after it was applied: restore the file.")


async def applied(dsn: str) -> list[str]:
    return ["0001_schema"]


def test_an_error_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("storage.migrator.migrate", refuse)
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
    monkeypatch.setattr("storage.migrator.migrate", applied)
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "applied 0001_schema\n"


def test_wrong_usage_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fly"])
    assert ended.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
