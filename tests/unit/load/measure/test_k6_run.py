"""What k6 is asked, and what its exit codes mean."""

from pathlib import Path

import pytest

from load.errors import LoadError
from load.measure.k6_run import SCRIPT, run_k6


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which a stand-in for k6 notes its arguments; it exits with the code in the file `code`."""
    program = tmp_path / "k6"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/asked\nexit "$(cat {tmp_path}/code)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path / "asked"


def drive(asked: Path, code: int, *, is_warm_up: bool = False) -> bool:
    (asked.parent / "code").write_text(str(code))
    return run_k6("http://127.0.0.1:1", Path("users.csv"), seconds=3, users=7, is_warm_up=is_warm_up)


@pytest.mark.parametrize(("code", "holds"), [(0, True), (99, False)])
def test_an_exit_code_tells_whether_the_thresholds_hold(asked: Path, code: int, holds: bool) -> None:
    assert drive(asked, code) is holds


def test_another_exit_code_is_an_error(asked: Path) -> None:
    with pytest.raises(LoadError, match="exit code 107"):
        drive(asked, 107)


def test_k6_gets_the_script_the_service_and_the_file(asked: Path) -> None:
    drive(asked, 0)
    arguments = asked.read_text().splitlines()
    assert {"--vus=7", "--duration=3s", "--env=BASE_URL=http://127.0.0.1:1"} <= set(arguments)
    assert f"--env=CSV={Path('users.csv').resolve()}" in arguments
    assert arguments[-1] == str(SCRIPT)
    assert "--no-thresholds" not in arguments


def test_a_warm_up_judges_nothing(asked: Path) -> None:
    drive(asked, 0, is_warm_up=True)
    assert "--no-thresholds" in asked.read_text().splitlines()


def test_without_k6_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadError, match="--driver wrk"):
        run_k6("http://127.0.0.1:1", Path("users.csv"), seconds=1, users=1)
