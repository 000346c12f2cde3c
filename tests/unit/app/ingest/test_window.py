import pytest

from app.ingest.window import TumblingWindow, WindowLimits
from tests.unit.app.fakes import FakeClock

LIMITS = WindowLimits(max_records=10, max_bytes=1000, linger_s=0.5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def window(clock: FakeClock) -> TumblingWindow[str]:
    return TumblingWindow(LIMITS, clock)


def test_an_empty_window_is_neither_full_nor_due(window: TumblingWindow[str], clock: FakeClock) -> None:
    clock.seconds += 1_000
    assert window.closed_by() is None
    assert window.due_in_s is None
    assert window.opened_at is None
    assert window.take() == []


@pytest.mark.parametrize(
    ("records", "size_bytes", "cause"),
    [(9, 999, None), (10, 0, "records"), (1, 1000, "bytes"), (25, 5000, "records")],
)
def test_size_closes_it(
    window: TumblingWindow[str], records: int, size_bytes: int, cause: str | None
) -> None:
    window.add("a", records=records, size_bytes=size_bytes)
    assert window.closed_by() == cause


def test_time_counts_from_the_first_item(window: TumblingWindow[str], clock: FakeClock) -> None:
    window.add("a", records=1, size_bytes=1)
    clock.seconds += 0.4
    window.add("b", records=1, size_bytes=1)
    assert window.closed_by() is None
    assert window.due_in_s == pytest.approx(0.1)
    clock.seconds += 0.2
    assert window.closed_by() == "time"
    assert window.due_in_s == 0.0


def test_taking_empties_it_and_keeps_the_order(window: TumblingWindow[str], clock: FakeClock) -> None:
    for item in "abc":
        window.add(item, records=5, size_bytes=1)
    assert window.take() == ["a", "b", "c"]
    assert window.closed_by() is None
    clock.seconds += 10
    window.add("d", records=1, size_bytes=1)
    assert window.due_in_s == pytest.approx(0.5)
    assert window.closed_by() is None
