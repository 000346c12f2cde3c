"""The watch deletes until nothing is left, waits for the slot, and nothing that happens ends it."""

import logging
from dataclasses import dataclass, field

import pytest
from prometheus_client import REGISTRY

from app.core.erasure import DeletionsUnderWay
from app.core.errors import TransientError
from app.worker.deletion_watch import DeletionWatch


@dataclass
class FakeDeletions:
    """So many pieces are left; a piece answers what is told, if anything is."""

    left: int = 0
    answers: list[bool | Exception] = field(default_factory=list)
    has_room: bool = True
    pause_s: float = 0.0
    pieces: int = 0

    async def wanted(self, wait_s: float) -> None:
        raise NotImplementedError

    async def under_way(self) -> DeletionsUnderWay:
        return DeletionsUnderWay(
            deletions=min(1, self.left), rows_left=50 * self.left, still_s=7.0, slot_has_room=self.has_room
        )

    async def piece(self, *, paced: bool = True) -> bool:
        assert paced
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        if answer:
            self.left -= 1
            self.pieces += 1
        return answer


def sample(name: str) -> float | None:
    return REGISTRY.get_sample_value(name)


async def test_deletes_until_nothing_is_left_though_others_have_their_turn() -> None:
    deletions = FakeDeletions(left=3, answers=[True, False, True])
    await DeletionWatch(deletions).delete()
    assert (deletions.left, deletions.pieces) == (0, 3)
    assert sample("profile_deletions_under_way") == 0
    assert sample("profile_deletion_rows_left") == 0


async def test_waits_while_the_slot_has_no_room_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    deletions = FakeDeletions(left=3, has_room=False)
    watch = DeletionWatch(deletions)
    await watch.delete()
    await watch.delete()
    assert deletions.pieces == 0
    assert sample("profile_deletions_under_way") == 1
    assert sample("profile_deletion_rows_left") == 150
    assert sample("profile_deletion_still_seconds") == 7
    (record,) = caplog.records
    assert record.event == "erasure.deletion_waits"
    assert "150 rows" in record.getMessage()
    deletions.has_room = True
    await watch.delete()
    assert deletions.left == 0


async def test_a_failure_is_told_once_and_does_not_quote_a_row(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    failures: list[bool | Exception] = [ValueError("a row"), TransientError("The primary is away.")]
    deletions = FakeDeletions(left=2, answers=failures)
    watch = DeletionWatch(deletions)
    for _ in range(3):
        await watch.delete()
    assert deletions.left == 0
    assert [record.getMessage() for record in caplog.records] == [
        "Rows of erased entities are not deleted for now: ValueError"
    ]
