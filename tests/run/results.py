"""What the parts came to: the table of times, the slowest tests, and one JUnit file of all groups."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

SLOWEST = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one part ended. `seconds` has the start of its servers in it."""

    stage: str
    name: str
    passed: bool
    seconds: float
    servers_s: float = 0.0
    junit: Path | None = None

    def suites(self) -> list[ET.Element]:
        """Its suites of tests, none where it wrote no file."""
        if self.junit is None or not self.junit.is_file():
            return []
        return list(ET.parse(self.junit).getroot())


def table(results: Sequence[Result]) -> str:
    """A line for each part, in the order of their ends."""
    lines = [f"{'STAGE':<10}{'PART':<18}{'RESULT':<8}{'TESTS':>6}{'SECONDS':>9}{'SERVERS':>9}"]
    for each in results:
        tests = sum(int(suite.get("tests", 0)) for suite in each.suites())
        lines.append(
            f"{each.stage:<10}{each.name:<18}{'passed' if each.passed else 'FAILED':<8}"
            f"{tests or '':>6}{each.seconds:>9.1f}{f'{each.servers_s:.1f}' if each.servers_s else '':>9}"
        )
    return "\n".join(lines)


def slowest(results: Iterable[Result]) -> str:
    """The slowest tests of all groups, with their fixtures."""
    found = [
        (float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}")
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
