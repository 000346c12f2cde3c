"""The demo's verdict, its worker's pid file, and what it shows."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from load.demo.console import DemoError
from load.demo.show import laid_out
from load.demo.verify import compare
from load.demo.worker import DemoWorker
from load.generate.purchases import Totals

JANUARY = ("user-1", "1997-01")


def test_equal_months_give_their_total() -> None:
    months = {JANUARY: Totals(100, 1, 1), ("user-2", "1997-02"): Totals(250, 3, 2)}
    assert compare(months, dict(months)) == Totals(350, 4, 3)


@pytest.mark.parametrize(
    "found",
    [
        {JANUARY: Totals(101, 1, 1)},
        {},
        {JANUARY: Totals(100, 1, 1), ("user-1", "1997-02"): Totals(1, 1, 1)},
    ],
    ids=["a cent off", "missing", "too much"],
)
def test_any_difference_is_named(found: dict[tuple[str, str], Totals]) -> None:
    with pytest.raises(DemoError, match=r"1 of 1 user-months differ from the file:\n.*user-1"):
        compare({JANUARY: Totals(100, 1, 1)}, found)


async def test_a_pid_that_another_program_bears_is_not_our_worker(tmp_path: Path) -> None:
    worker = DemoWorker(tmp_path, "http://127.0.0.1:1")
    assert worker.running_pid() is None
    (tmp_path / "worker.pid").write_text(str(os.getpid()))
    assert worker.running_pid() is None
    assert not await worker.stop()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=60),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner),
    )
)
def test_an_answer_is_shown_whole(value: object) -> None:
    assert json.loads(laid_out(value)) == value
