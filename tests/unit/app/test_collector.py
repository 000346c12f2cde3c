"""The garbage collector of a worker, in a process of its own."""

import subprocess
import sys

_SETTLED = """
import gc, weakref
from app import collector

class Node: pass

def cycle():
    node = Node()
    node.itself = node
    return weakref.ref(node)

collector.settle()
modules, before = gc.get_freeze_count(), gc.get_stats()[0]["collections"]
kept = [[] for _ in range(9_000)]
seldom = gc.get_stats()[0]["collections"] - before
dead = cycle()
kept += [[] for _ in range(3_000)]
print(modules > 1_000, seldom, dead() is None)
"""


def test_it_runs_seldom_leaves_modules_alone_and_finds_what_refers_to_itself() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SETTLED], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["True", "0", "True"]
