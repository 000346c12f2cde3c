import pytest

from load.bench.refusals import KINDS, Pair, table


@pytest.mark.parametrize("kind", ["fields", "bytes", "numbers"])
def test_both_windows_have_as_many_records_of_about_as_many_bytes(kind: str) -> None:
    window = KINDS[kind]("test", 400)
    assert len(window.told) == len(window.good)
    told, good = (sum(len(text) for _, _, text in facts) for facts in (window.told, window.good))
    assert abs(told - good) <= len(window.told)
    assert not {reference for reference, _, _ in window.told} & {reference for reference, _, _ in window.good}


def test_the_ratio_is_that_of_pairs() -> None:
    text = table(
        5_000, {"fields": [Pair(told_s=2, good_s=1, letters=9), Pair(told_s=6, good_s=2, letters=9)]}
    )
    assert "| fields | 9 | 4.00 (2.00 to 6.00) | 1.50 (1.00 to 2.00) | 2.50 (2.00 to 3.00) |" in text
