"""The runner of the groups: what a failing part stops, and that a failure is never lost."""

import sys
from pathlib import Path

import pytest

from infra.settings import InfraSettings
from tests.run.__main__ import Run
from tests.run.lane import Lane
from tests.run.parts import Part, Stage
from tests.run.results import Result, slowest, table, unstable, write_junit


def command(name: str, code: int = 0) -> Part:
    return Part(
        name=name, command=(sys.executable, "-c", f"print('it is', {name!r}); raise SystemExit({code})")
    )


def lane(directory: Path, *arguments: str) -> Lane:
    return Lane(InfraSettings(), managed=False, live=False, directory=directory, pytest_arguments=arguments)


def ran(run: Run) -> list[tuple[str, bool]]:
    return sorted((each.name, each.passed) for each in run.results)


def test_all_stages_run_in_turn_and_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run([lane(tmp_path), lane(tmp_path)])
    assert run.run([Stage("one", ((command("a"),), (command("b"),))), Stage("two", ((command("c"),),))])
    assert ran(run) == [("a", True), ("b", True), ("c", True)]
    assert run.results[-1].name == "c"
    printed = capsys.readouterr().out
    assert all(f"it is {name}" in printed for name in "abc")


def test_no_stage_begins_after_one_that_failed_and_the_others_of_its_stage_still_run(tmp_path: Path) -> None:
    run = Run([lane(tmp_path)])
    assert not run.run([Stage("one", ((command("a", 1), command("b")),)), Stage("two", ((command("c"),),))])
    assert ran(run) == [("a", False), ("b", True)]


def test_a_stage_that_stops_begins_no_part_after_one_that_failed(tmp_path: Path) -> None:
    run = Run([lane(tmp_path)])
    assert not run.run([Stage("one", ((command("a", 1), command("b")),), stops=True)])
    assert ran(run) == [("a", False)]


def test_a_run_that_was_stopped_begins_nothing_and_has_not_passed(tmp_path: Path) -> None:
    own = lane(tmp_path)
    own.stop()
    run = Run([own])
    assert not run.run([Stage("one", ((command("a"),),))])
    assert ran(run) == []


class Group(Part):
    """A group in whose place a program ends with `marked` as its exit code."""

    def argv(self, *pytest_arguments: str) -> list[str]:
        return [sys.executable, "-c", f"raise SystemExit({self.marked})"]


@pytest.mark.parametrize(("arguments", "passed"), [((), False), (("-k", "a_name"), True)])
def test_a_group_without_tests_passes_only_where_arguments_select(
    tmp_path: Path, arguments: tuple[str, ...], passed: bool
) -> None:
    run = Run([lane(tmp_path, *arguments)])
    assert run.run([Stage("one", ((Group(name="a", marked="5"),),))]) is passed


def test_tests_of_groups_are_counted_listed_and_written_together(tmp_path: Path) -> None:
    case = '<testcase classname="tests.test_a" name="test_{}" time="{}">{}</testcase>'
    results = []
    for name, seconds in (("a", 1), ("b", 20)):
        junit = tmp_path / f"{name}.xml"
        cases = case.format(name, seconds, "<failure/>") + case.format("quick", 0.5, "")
        junit.write_text(f'<testsuites><testsuite name="pytest" tests="2">{cases}</testsuite></testsuites>')
        results.append(Result(stage="one", name=name, passed=False, seconds=seconds, junit=junit))
    assert table(results).count("FAILED       2") == 2
    listed = slowest(results).splitlines()
    assert [line.split("::")[1] for line in listed] == ["test_b", "test_a", "test_quick", "test_quick"]

    write_junit(results, tmp_path / "all.xml")
    text = (tmp_path / "all.xml").read_text()
    assert text.count("<testcase ") == 4
    assert text.count("<failure") == 2


UNSTABLE = """
from pathlib import Path

import pytest

@pytest.mark.parametrize("number", range({count}))
def test_a(number):
    ran = Path(__file__).with_name(f"ran-{{number}}")
    before = len(ran.read_text()) if ran.exists() else 0
    ran.write_text("." * (before + 1))
    assert before >= {failures}

def test_that_passes():
    with Path(__file__).with_name("passing").open("a") as file:
        file.write(".")
"""


@pytest.mark.parametrize(
    ("repeats", "count", "failures", "verdict", "runs"),
    [
        (True, 3, 1, "UNSTABLE", 2),
        (True, 3, 2, "FAILED", 2),
        (True, 4, 1, "FAILED", 1),
        (False, 1, 1, "FAILED", 1),
        (True, 1, 0, "passed", 1),
    ],
)
def test_failed_tests_run_once_more_in_ci(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    repeats: bool,
    count: int,
    failures: int,
    verdict: str,
    runs: int,
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # these take seconds to import
    tests = tmp_path / "tests"
    tests.mkdir()
    (tests / "test_a.py").write_text(UNSTABLE.format(count=count, failures=failures))
    own = Lane(
        InfraSettings(), managed=False, live=False, repeats=repeats, directory=tmp_path, pytest_arguments=[]
    )
    run = Run([own])
    assert run.run([Stage("one", ((Part(name="a", paths=(str(tests),)),),))]) is (verdict != "FAILED")
    assert run.results[0].verdict == verdict
    assert [len((tests / f"ran-{number}").read_text()) for number in range(count)] == [runs] * count
    assert (tests / "passing").read_text() == "."
    listed = unstable(run.results).splitlines()
    assert len(listed) == (count if verdict == "UNSTABLE" else 0)
    assert all("test_a::test_a[" in line for line in listed)
    assert f"{failures and count} failed" in capsys.readouterr().out or not failures
