"""What the demo compares the answers with."""

import pytest

from infra.errors import InfraError
from load.demo.purchases import expected_purchases
from load.generate.purchases import Totals


def test_cdnow_has_its_published_sums() -> None:
    try:
        expected = expected_purchases("cdnow")
    except InfraError as error:
        pytest.skip(f"the data can't be downloaded here: {error}")
    assert len(expected.references) == 2_357
    assert expected.references[0] == "user-cdnow-00004"
    assert len(expected.months) == 5_460
    assert expected.total == Totals(24_409_194, 16_479, 6_919)
    assert expected.months["user-cdnow-00004", "1997-01"] == Totals(5_906, 4, 2)


def test_generated_sums_are_those_of_every_user() -> None:
    expected = expected_purchases("generated")
    assert len(expected.references) == 1_000
    assert {reference for reference, _ in expected.months} == set(expected.references)
    assert sum(expected.months.values(), Totals()) == expected.total
