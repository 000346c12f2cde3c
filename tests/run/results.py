"""What the parts came to: the table of times, the slowest tests, and one JUnit file of all groups."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SLOWEST = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one part ended. `seconds` has the start of its servers in it.

    `unstable` are the tests that failed, and passed when they ran once more; the JUnit file has the first run.
    """

    stage: str
    name: str
    passed: bool
    seconds: float
    servers_s: float = 0.0
    junit: Path | None = None
    unstable: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        if self.unstable:
            return "UNSTABLE"
        return "passed" if self.passed else "FAILED"

    def suites(self) -> list[ET.Element]:
        """Its suites of tests, none where it wrote no file."""
        return [] if self.junit is None else _suites(self.junit)


def _suites(junit: Path) -> list[ET.Element]:
    return list(ET.parse(junit).getroot()) if junit.is_file() else []


def _name(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def failed_tests(junit: Path) -> list[str]:
    """The tests of a JUnit file that failed, or whose fixtures did."""
    return [
        _name(case)
        for suite in _suites(junit)
        for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]


def unstable(results: Iterable[Result]) -> str:
    """A line for each test that failed and then passed; empty where there is none."""
    return "\n".join(f"  {each.name}: {test}" for each in results for test in each.unstable)


def table(results: Sequence[Result]) -> str:
    """A line for each part, in the order of their ends."""
    lines = [f"{'STAGE':<10}{'PART':<18}{'RESULT':<9}{'TESTS':>5}{'SECONDS':>9}{'SERVERS':>9}"]
    for each in results:
        tests = sum(int(suite.get("tests", 0)) for suite in each.suites())
        lines.append(
            f"{each.stage:<10}{each.name:<18}{each.verdict:<9}"
            f"{tests or '':>5}{each.seconds:>9.1f}{f'{each.servers_s:.1f}' if each.servers_s else '':>9}"
        )
    return "\n".join(lines)


def slowest(results: Iterable[Result]) -> str:
    """The slowest tests of all groups, with their fixtures."""
    found = [
        (float(case.get("time", 0)), _name(case))
        for each in results
        for suite in each.suites()
        for case in suite.iter("testcase")
    ]
    found.sort(reverse=True)
    return "\n".join(f"{seconds:>8.2f} s  {name}" for seconds, name in found[:SLOWEST])


def write_junit(results: Iterable[Result], path: Path) -> None:
    """One JUnit file with the suites of all groups."""
    root = ET.Element("testsuites")
    for each in results:
        for suite in each.suites():
            suite.set("name", each.name)
            root.append(suite)
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
