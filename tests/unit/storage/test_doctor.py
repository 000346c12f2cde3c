from typing import Any

import pytest

from app.core.check_results import Level
from storage.doctor.postgres import _deletions


@pytest.mark.parametrize(
    ("deletions", "still_s", "has_room", "level", "words"),
    [
        (0, 0.0, True, Level.OK, "no erased entity has rows left"),
        (2, 5.0, True, Level.OK, "2 erased entities have 70 rows left, the latest went 5 s ago"),
        (2, 601.0, True, Level.WARN, "the latest went 601 s ago"),
        (2, 601.0, False, Level.WARN, "the slot keeps half of the WAL that it may keep"),
    ],
)
def test_a_deletion_that_stands_still_is_a_warning(
    *, deletions: int, still_s: float, has_room: bool, level: Level, words: str
) -> None:
    row: Any = {"deletions": deletions, "rows_left": 70, "still_s": still_s}
    found = _deletions(row, has_room=has_room)
    assert found.level is level
    assert words in found.what
