"""What `bench-mixed` hands on, and how an import is judged."""

import argparse
from collections.abc import Sequence

import pytest

from load.bench import mixed, reads
from load.bench.imports import Import, Moment, judged, table


def moment(at_s: float, taken_in: int, *, memory_mb: float = 100.0, failed: int = 0) -> Moment:
    return Moment(
        at_s=at_s,
        taken_in=taken_in,
        published=taken_in * 2,
        processes_mb=[memory_mb - 60, 60],
        reads=[0.002, 0.004],
        bare=[0.001],
        failed=failed,
    )


def steady(count: int = 11) -> list[Moment]:
    return [moment(float(n), n * 100) for n in range(count)]


def verdicts(found: Import) -> list[bool]:
    return [holds for *_, holds in judged(found)]


def test_an_even_import_holds() -> None:
    found = Import(records=1_000, moments=steady(), events=2_000, rows=900)
    assert verdicts(found) == [True] * 5
    text = table(found)
    assert "1,000 records in 10 s, 900 rows" in text
    assert text.count("% | 100 | ") == text.count("| 100: 40, 60 |") == 10
    assert "| 2.0, 4 | 1.0, 1 |" in text
    assert "✗" not in text


@pytest.mark.parametrize(
    ("moments", "restarts", "fails"),
    [
        ([*steady(10), moment(10, 1_000, memory_mb=121)], 0, 0),
        ([*steady(8), moment(9, 800), moment(12, 900), moment(13, 1_000)], 0, 1),
        ([*steady(), Moment(at_s=15.1, taken_in=1_000, published=2_001, processes_mb=[100])], 0, 2),
        ([*steady(10), moment(10, 1_000, failed=1)], 0, 3),
        (steady(), 1, 4),
    ],
)
def test_what_falls_short_is_told(moments: Sequence[Moment], restarts: int, fails: int) -> None:
    found = Import(records=1_000, moments=moments, restarts=restarts)
    assert [number for number, holds in enumerate(verdicts(found)) if not holds] == [fails]


def test_an_import_that_is_over_at_once_is_judged() -> None:
    found = Import(records=10, moments=[moment(1, 10)])
    assert verdicts(found) == [True] * 5
    assert "10 records" in table(found)


def test_the_mix_is_that_of_bench_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[argparse.Namespace] = []

    def run(args: argparse.Namespace) -> int:
        asked.append(args)
        return 1

    monkeypatch.setattr(reads, "run", run)
    parser = argparse.ArgumentParser()
    mixed.add_arguments(parser)
    assert mixed.run(parser.parse_args(["--part", "mix", "--seconds", "3", "--rounds", "4"])) == 1
    (args,) = asked
    assert (args.mix, args.seconds, args.rounds) == (True, 3, 4)
