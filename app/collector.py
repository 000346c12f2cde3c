"""How Python's garbage collector runs in a worker: seldom, and over what came since the start."""

import gc
from typing import Final

# Net allocations before a collection of the youngest objects; of 10 such collections the older ones are looked at.
# A window holds tens of thousands of records at a time: by the defaults (700) each of them was looked at again and
# again, and all modules with them, which took a third of a busy CDC worker's CPU.
_YOUNGEST: Final = 10_000


def settle() -> None:
    """Called once, when everything is imported and open: what is there now stays, and is never looked at again.

    Reference counts free nearly everything at once; what refers to itself is still found, a little later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST, 10, 10)
