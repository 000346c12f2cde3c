"""Each file of tests belongs to one group that runs, and to one alone."""

import re
from pathlib import Path

from infra.services import SERVICES
from tests.run.parts import CI, FAULTS, TEST, Part, Stage

ROOT = Path(__file__).parents[3]
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
CHAOS = re.compile(r"pytest\.mark\.chaos\b")
IN_CI = re.compile(r"pytest\.mark\.ci\b")


def groups(stages: tuple[Stage, ...]) -> list[Part]:
    return [part for stage in stages for part in stage.parts if not part.command]


def test_a_file_of_tests_is_in_one_group() -> None:
    found = {file: [part.name for part in groups(TEST) if part.has(file)] for file in FILES}
    assert {file: names for file, names in found.items() if len(names) != 1} == {}
    assert {part.marked for part in groups(TEST)} == {"not chaos"}


def test_a_file_of_fault_tests_of_ci_is_in_one_group() -> None:
    texts = {file: (ROOT / file).read_text() for file in FILES}
    of_ci = [file for file, text in texts.items() if IN_CI.search(text)]
    assert len(of_ci) > 3
    assert all(CHAOS.search(texts[file]) for file in of_ci)
    found = {file: [part.name for part in groups((FAULTS,)) if part.has(file)] for file in of_ci}
    assert {file: names for file, names in found.items() if len(names) != 1} == {}
    assert {part.marked for part in groups((FAULTS,))} == {"chaos and ci"}


def test_groups_name_what_exists_once() -> None:
    everything = [part for stage in CI for part in stage.parts]
    assert len({part.name for part in everything}) == len(everything)
    for part in everything:
        assert part.servers <= SERVICES.keys()
        for path in (*part.paths, *part.without):
            assert (ROOT / path).exists(), path
