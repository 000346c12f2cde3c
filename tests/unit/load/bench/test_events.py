import argparse

from load.bench.events import Measured, table


def measured(p99_s: float, events_per_s: float = 500.0) -> Measured:
    return Measured(
        events_per_s=events_per_s,
        p50_s=p99_s / 2,
        p99_s=p99_s,
        cpu_s={"workers": 0.07, "broker": 0.01},
        load=1.5,
    )


ARGS = argparse.Namespace(rounds=3, changes=50_000, transaction=500, rate=500, seconds=20)


def test_throughput_and_the_time_from_a_commit_are_tables_of_their_own() -> None:
    rounds = [measured(0.1), measured(0.3), measured(0.2)]
    text = table(
        ARGS,
        {
            "warm-up": [measured(9, 2_000)],
            "burst": [measured(4, 7_000)] * 3,
            "steady": rounds,
            "statements": rounds,
        },
    )
    throughput, time = text.split("Time to the domain event")
    assert (
        "| burst | 7,000 (7,000 to 7,000) | 2,000 (2,000 to 2,000) | 4,000 (4,000 to 4,000) |" in throughput
    )
    assert "500 changes/s for 20 s (aim: p99 1,000 ms)" in time
    assert "| the commit | 500 (500 to 500) | 100 (50 to 150) | 200 (100 to 300) | 1.5 (1.5 to 1.5) |" in time
    assert "| the record of entity-properties | 500 (500 to 500) | 100 (50 to 150) |" in time
    assert "burst" not in time.partition("CPU s")[0]
    assert "| steady | 0.070 (0.070 to 0.070) | 0.010 (0.010 to 0.010) |" in time


def test_one_measurement_alone() -> None:
    text = table(ARGS, {"warm-up": [measured(9)], "steady": [measured(0.2)]})
    assert text.count("| the commit |") == 1
    assert "entity-properties" not in text
