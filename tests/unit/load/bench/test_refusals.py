import pytest

from load.bench.refusals import KINDS, Pair, table


@pytest.mark.parametrize("kind", ["fields", "bytes", "numbers"])
def test_both_windows_have_as_many_records_of_about_as_many_bytes(kind: str) -> None:
    window = KINDS[kind]("test", 400)
    assert len(window.mixed) == len(window.good)
    mixed, good = (sum(len(text) for _, _, text in facts) for facts in (window.mixed, window.good))
    assert abs(mixed - good) <= len(window.mixed)
    assert not {reference for reference, _, _ in window.mixed} & {
        reference for reference, _, _ in window.good
    }


def test_the_ratio_is_that_of_pairs() -> None:
    text = table(
        5_000, {"fields": [Pair(refused_s=2, good_s=1, letters=9), Pair(refused_s=6, good_s=2, letters=9)]}
    )
    assert "| fields | 9 | 4.00 (2.00 to 6.00) | 1.50 (1.00 to 2.00) | 2.50 (2.00 to 3.00) |" in text
