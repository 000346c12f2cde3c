"""At which passages a worker is held."""

import asyncio
from pathlib import Path

import pytest

from app.core.errors import FatalError
from app.core.failpoints import Hooks

PLACE = "between-data-and-store"


async def held_at(hooks: Hooks, passages: int) -> list[int]:
    """The passages, from 1, at which it does not go on at once."""
    found = []
    for passage in range(1, passages + 1):
        try:
            async with asyncio.timeout(0.05):
                await hooks.reach(PLACE)
        except TimeoutError:
            found.append(passage)
    return found


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    path = tmp_path / "hold"
    path.touch()
    return path


@pytest.mark.parametrize(
    ("told", "passages"),
    [
        ("", []),
        (f"{PLACE}:hold", [1]),
        (f"{PLACE}:hold:2", [2]),
        (f"{PLACE}:holds:2", [2, 4]),
        ("before-copy:holds", []),
    ],
)
async def test_it_is_held_at_the_passage_that_is_told(told: str, passages: list[int], hold: Path) -> None:
    assert await held_at(Hooks(told, hold), 5) == passages


async def test_it_goes_on_when_the_file_is_gone(hold: Path) -> None:
    hooks = Hooks(f"{PLACE}:holds", hold)
    waiting = asyncio.create_task(hooks.reach(PLACE))
    await asyncio.sleep(0.03)
    assert not waiting.done()
    hold.unlink()  # noqa: ASYNC240 - a file without content
    await asyncio.wait_for(waiting, 2)
    assert await held_at(hooks, 1) == []


@pytest.mark.parametrize(
    "told", ["nowhere:hold", f"{PLACE}:stop", f"{PLACE}:holds:0", f"{PLACE}:hold:-1", "x"]
)
def test_what_is_not_a_hook_ends_the_start(told: str) -> None:
    with pytest.raises(FatalError, match="PROFILE_HOOKS"):
        Hooks(told)
