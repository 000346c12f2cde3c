import pytest

from app.core.errors import FatalError, InvalidError, TransientError
from app.core.retry import RetryPolicy
from tests.unit.app.fakes import FakeClock


class Attempts:
    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.left = failures
        self.made = 0
        self.error = error or TransientError("connection lost")

    async def __call__(self) -> str:
        self.made += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def policy(clock: FakeClock, pauses: list[float]) -> RetryPolicy:
    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.seconds += seconds

    return RetryPolicy(
        attempts=5,
        first_pause_s=1,
        longest_pause_s=3,
        within_s=60,
        sleep=sleep,
        chance=lambda: 1.0,
        monotonic=clock.monotonic,
    )


async def test_it_tries_until_it_works(policy: RetryPolicy, pauses: list[float]) -> None:
    retries: list[None] = []
    attempts = Attempts(4)
    assert await policy.run("it", attempts, on_retry=lambda: retries.append(None)) == "done"
    assert attempts.made == 5
    assert pauses == [1, 2, 3, 3]
    assert len(retries) == 4


async def test_attempts_run_out_with_the_last_cause(policy: RetryPolicy) -> None:
    attempts = Attempts(100)
    with pytest.raises(FatalError, match=r"it failed 5 times.*connection lost"):
        await policy.run("it", attempts)
    assert attempts.made == 5


async def test_time_runs_out(policy: RetryPolicy, clock: FakeClock) -> None:
    async def slow() -> None:
        clock.seconds += 40
        raise TransientError("timed out")

    with pytest.raises(FatalError, match="failed 2 times"):
        await policy.run("it", slow)


async def test_chance_shortens_pauses_by_half_at_most(clock: FakeClock) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    policy = RetryPolicy(
        first_pause_s=1, longest_pause_s=3, sleep=sleep, chance=lambda: 0.0, monotonic=clock.monotonic
    )
    await policy.run("it", Attempts(3))
    assert pauses == [0.5, 1, 1.5]


@pytest.mark.parametrize("error", [InvalidError("no"), FatalError("no"), ValueError("a bug")])
async def test_nothing_else_is_tried_again(policy: RetryPolicy, error: Exception) -> None:
    attempts = Attempts(1, error)
    with pytest.raises(type(error)):
        await policy.run("it", attempts)
    assert attempts.made == 1
