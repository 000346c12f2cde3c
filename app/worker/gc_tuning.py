"""How often Python looks for cycles of garbage, and how long a thread keeps the interpreter.

Reference counts free nearly all that requests and records leave behind; cycles are rare, and come from exceptions
and tasks. With Python's own thresholds a worker under load looks through its young objects hundreds of times a second,
and through all that its caches hold again and again while they fill: pauses of a tenth of a second and more, in which
nobody is answered. So it is with a window of changes, whose tens of thousands of records it would walk through again
and again: a quarter of a busy CDC worker's CPU.
"""

import gc
import sys
from typing import Final

_YOUNG: Final = 5_000  # more objects made than freed: a look takes a millisecond, uninterrupted
_MIDDLE: Final = 80
# A thread that puts a large answer together keeps the interpreter for so long where the event loop waits for it, in
# each of the loop's turns; Python's own 5 ms are 20 ms and more of a request.
_SWITCH_S: Final = 0.0005
_OLD: Final = 50  # and never before a quarter of all has come since (CPython's own rule)


def settle() -> None:
    """Take what lives now for permanent, and look less often. Called once, when a worker is ready."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
