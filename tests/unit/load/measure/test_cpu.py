"""CPU seconds from /proc."""

import os
import subprocess
import sys
import time

import pytest

from load.measure import cpu

_BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"


def test_own_time_grows_with_work() -> None:
    before = cpu.process_s(os.getpid())
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert 0.05 < cpu.process_s(os.getpid()) - before < 0.5


def test_a_family_counts_children_that_live_and_that_ended() -> None:
    parent = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {_BUSY!r}]); print(1, flush=True)"
    living = (
        f"{parent}; subprocess.Popen([sys.executable, '-c', {(_BUSY + chr(10) + 'time.sleep(60)')!r}]).wait()"
    )
    with subprocess.Popen([sys.executable, "-c", living], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        ended = cpu.family_s(process.pid)
        deadline = time.monotonic() + 20
        while cpu.family_s(process.pid) < ended + 0.25 and time.monotonic() < deadline:
            time.sleep(0.05)
        both, own = cpu.family_s(process.pid), cpu.process_s(process.pid)
        for child in cpu.children(process.pid):
            os.kill(child, 9)
        process.wait(10)
    assert ended > 0.25
    assert both > ended + 0.2
    assert own < 0.25


def test_a_listener_is_found_by_its_port() -> None:
    listening = (
        "import socket, sys; at = socket.create_server(('127.0.0.1', 0)); print(at.getsockname()[1], flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", listening], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert cpu.listener(port) == process.pid
        process.communicate("", timeout=10)
    assert cpu.listener(port) is None


def test_parent_and_name() -> None:
    with subprocess.Popen(["sleep", "30"]) as process:
        assert cpu.parent(process.pid) == os.getpid()
        process.kill()
        process.wait(10)
        assert cpu.name(process.pid) is None
        with pytest.raises(OSError, match="No such"):
            cpu.process_s(process.pid)
