"""Answers take turns with all else that the event loop has to do."""

import asyncio
from collections.abc import Callable

import pytest

from web.server.fair_share import SHARE_S, Turns


class Time:
    """Goes on by what is done in it."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.fixture
def time() -> Time:
    return Time()


def turns_of(time: Time, waited: list[float] | None = None) -> Turns:
    return Turns(asyncio.get_running_loop(), [].append if waited is None else waited.append, clock=time)


async def arrive(turns: Turns, answers: list[Callable[[], None]]) -> None:
    """All in one turn of the loop, as what a poll of the sockets finds."""

    def all_at_once() -> None:
        for answer in answers:
            if turns.may_answer():
                answer()
            else:
                turns.wait(answer)

    asyncio.get_running_loop().call_soon(all_at_once)
    await asyncio.sleep(0)


def answers_of(time: Time, done: list[int], count: int) -> list[Callable[[], None]]:
    """Each takes a third of a share."""

    def answer(number: int) -> None:
        time.s += SHARE_S / 3
        done.append(number)

    return [lambda number=number: answer(number) for number in range(count)]  # type: ignore[misc]


async def test_what_fits_into_a_share_is_answered_as_it_arrives(time: Time) -> None:
    turns, done = turns_of(time), []  # type: ignore[var-annotated]
    await arrive(turns, answers_of(time, done, 3))
    assert done == [0, 1, 2]


async def test_the_rest_waits_in_line_and_nobody_overtakes(time: Time) -> None:
    turns, done = turns_of(time), []  # type: ignore[var-annotated]
    await arrive(turns, answers_of(time, done, 10))
    assert done == list(range(len(done)))
    assert len(done) < 10
    assert not turns.may_answer(), "others came before"
    for _ in range(10):
        await asyncio.sleep(0)
    assert done == list(range(10))
    assert turns.may_answer()


async def test_what_else_is_under_way_goes_on_between(time: Time) -> None:
    """A read of some ten steps is done long before a hundred answers are."""
    turns, done = turns_of(time), []  # type: ignore[var-annotated]
    await arrive(turns, answers_of(time, done, 100))
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(done) < 50
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(done) == 100


async def test_each_turn_has_a_share_of_its_own(time: Time) -> None:
    turns, done = turns_of(time), []  # type: ignore[var-annotated]
    for _ in range(5):
        await arrive(turns, answers_of(time, done, 3))
        await asyncio.sleep(0)
    assert len(done) == 15


async def test_it_is_told_how_long_each_has_waited(time: Time) -> None:
    waited: list[float] = []
    turns, done = turns_of(time, waited), []  # type: ignore[var-annotated]
    await arrive(turns, answers_of(time, done, 5))
    time.s += 2
    for _ in range(3):
        await asyncio.sleep(0)
    assert waited == pytest.approx([2, 2 + SHARE_S / 3])
