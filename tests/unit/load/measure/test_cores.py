"""Who is pinned where."""

import os
import subprocess
import sys

import pytest

from load.measure.cores import Cores, choose, of_this_machine, pinned


def test_server_and_client_have_a_core_each() -> None:
    assert choose([5, 3, 9], can_pin=True) == Cores(server=3, client=5, beside=9)
    assert choose([0, 1], can_pin=True) == Cores(server=0, client=1, beside=1)


@pytest.mark.parametrize(("available", "can_pin"), [([0], True), ([0, 1], False), ([], True)])
def test_one_core_alone_or_no_taskset_pins_nothing(available: list[int], can_pin: bool) -> None:
    cores = choose(available, can_pin=can_pin)
    assert cores == Cores()
    assert "nothing is pinned" in str(cores)


def test_a_command_without_a_core_stays_as_it_is() -> None:
    assert pinned(["wrk", "-v"], None) == ["wrk", "-v"]


@pytest.mark.skipif(of_this_machine() == Cores(), reason="nothing can be pinned here")
def test_a_pinned_command_has_that_core_alone() -> None:
    core = of_this_machine().client
    told = "import os; print(*os.sched_getaffinity(0))"
    done = subprocess.run(
        pinned([sys.executable, "-c", told], core), capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(core)]
    assert len(os.sched_getaffinity(0)) > 1
