"""The table of `bench-jobs`."""

import argparse

from load.bench.jobs import table
from load.measure.latency import Arrival


def test_a_row_tells_a_job_and_a_reader() -> None:
    arrivals = [Arrival(begun_s=1.0, at_s=1.0 + wait) for wait in (0.25, 0.5, 1.5)]
    text = table(argparse.Namespace(rate=20, seconds=60), {("crm", "read_committed"): arrivals})
    assert text.splitlines()[-1] == "| crm | read_committed | 3 | 500 | 1,500 | 1,500 |"
