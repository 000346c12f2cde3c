"""Pid files, signals and memory, with real small processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.process import ServerProcess, memory_bytes, process_identity

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
_IGNORE = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
STUBBORN = [sys.executable, "-c", f"{_IGNORE}; print('here', flush=True); time.sleep(60)"]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    directory = tmp_path / "service" / "work"
    directory.mkdir(parents=True)
    process = ServerProcess(name="server", directory=directory, port=1)
    yield process
    process.signal(signal.SIGKILL)
    process.stop(5)


def _wait_for_output(process: ServerProcess) -> None:
    deadline = time.monotonic() + 10
    while "here\n" not in process.log_file.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_started_process_is_known_and_stops(process: ServerProcess) -> None:
    pid = process.start(SLEEP)
    assert process.pid() == pid
    assert os.getsid(pid) == pid, "it has a session of its own, so it survives the terminal"
    assert process.start(SLEEP) == pid, "a second start is harmless"
    _wait_for_output(process)
    assert memory_bytes(pid) > 1_000_000
    assert process.stop(10)
    assert process.pid() is None
    assert not process.pid_file.exists()
    assert not process.stop(10)


def test_a_process_that_ignores_sigterm_is_killed(process: ServerProcess) -> None:
    pid = process.start(STUBBORN)
    _wait_for_output(process)
    began = time.monotonic()
    assert process.stop(0.3)
    assert time.monotonic() - began >= 0.3
    assert process_identity(pid) is None


def test_a_pid_that_another_process_bears_now_is_not_ours(process: ServerProcess) -> None:
    stranger = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
    try:
        recorded = {"pid": stranger.pid, "identity": "another-boot/12345"}
        process.pid_file.write_text(json.dumps(recorded))
        assert process.pid() is None
        assert not process.signal(signal.SIGTERM)
        assert not process.stop(1)
        assert stranger.poll() is None, "the stranger lives"
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '"x"', '{"pid": "x"}', '{"pid": 1}'])
def test_a_damaged_pid_file_names_nobody(process: ServerProcess, content: str) -> None:
    process.pid_file.write_text(content)
    assert process.pid() is None


def test_a_process_that_ended_is_gone_although_its_parent_lives(process: ServerProcess) -> None:
    process.start([sys.executable, "-c", "print('cause of death')"])
    deadline = time.monotonic() + 10
    while process.pid() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.log_tail().endswith("cause of death")


def test_the_tail_has_the_last_lines(process: ServerProcess) -> None:
    assert process.log_tail() == "(no log)"
    process.log_file.write_text("".join(f"line {n}\n" for n in range(10_000)))
    assert process.log_tail(2) == "line 9998\nline 9999"
