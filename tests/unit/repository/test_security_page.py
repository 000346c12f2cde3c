"""What the threat model rests on is there: each test that it names, and the way to report a weakness."""

import re
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "security.md").read_text()
_NAMED = re.compile(r"`((?:(?:unit|integration|e2e)/[\w/]+)(?:\.py)?|test_\w+\.py)`")


def test_each_test_that_is_named_exists() -> None:
    named, folder = [], PurePosixPath()
    for name in _NAMED.findall(PAGE):
        path = PurePosixPath(name) if "/" in name else folder / name
        folder = path.parent
        named.append(path)
    assert len(named) > 40
    assert [str(path) for path in named if not (ROOT / "tests" / path).exists()] == []


def test_owasps_ten_are_answered() -> None:
    assert re.findall(r"^\| API(\d+) ", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]


def test_a_weakness_has_a_private_way_and_no_persons_address() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "Report a vulnerability" in text
    assert "@" not in text
