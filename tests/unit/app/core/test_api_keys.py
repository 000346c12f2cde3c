import pytest

from app.core.api_keys import Rate, digest_of, id_of, new_text
from web.auth.token_bucket import TokenBucket


def test_a_key_has_256_bits_and_a_public_id() -> None:
    asked: list[int] = []

    def chance(size: int) -> str:
        asked.append(size)
        return "ab" * size

    text = new_text(chance)
    assert asked == [6, 32]
    assert id_of(text) == "ab" * 6
    assert len({new_text() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "text", ["", "upk_", "upk_ab_cd", "x" * 5000, new_text() + "0", new_text()[:-1], "\ud800"]
)
def test_what_is_not_a_key_has_no_id(text: str) -> None:
    assert id_of(text) is None


def test_the_digest_is_of_the_whole_key() -> None:
    text = new_text()
    assert len(digest_of(text)) == 32
    assert digest_of(text) != digest_of(text[:-1] + ("0" if text[-1] != "0" else "1"))


def test_a_bucket_allows_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(Rate(per_s=2, burst=3), 10.0)
    assert [bucket.take(10.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.take(10.25) == 0.25
    assert bucket.take(10.5) == 0
    assert bucket.take(10.5) == 0.5
    assert [bucket.take(1000.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(Rate(per_s=1, burst=1), 10.0)
    assert bucket.take(10.0) == 0
    assert bucket.take(5.0) == 1
