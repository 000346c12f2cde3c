import gc

import pytest

from load.__main__ import main


def test_every_step_runs_without_servers(capsys: pytest.CaptureFixture[str]) -> None:
    thresholds = gc.get_threshold()
    try:
        assert main(["bench-steps", "--records", "30", "--repeat", "1"]) == 0
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 3 * 3 + 3 + 4 * 2
    assert all(float(line.split(" | ")[1]) >= 0 for line in lines[2:])
