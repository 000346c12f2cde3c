"""How a listener leaves a port that other processes share, so that no client is reset.

The kernel gives a connection to one listener with its first packet, the SYN, and resets what that listener still has
when it closes: connections that nobody accepted, and handshakes that are half done. Accepting all and closing is not
enough, since a connection may come in between. net.ipv4.tcp_migrate_req=1 (Linux 5.14) hands both to the other
listeners of the port. Elsewhere a filter of the leaving socket drops each SYN. Its client sends it again after a
second, finds the leaving listener closed, and is given to another one: it waits, and is not refused.
"""

import ctypes
import logging
import socket
import struct
import sys
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_MIGRATES: Final = Path("/proc/sys/net/ipv4/tcp_migrate_req")
_SO_ATTACH_FILTER: Final = 26  # which the module socket does not name

# Classic BPF (linux/filter.h) on the TCP header: operation, jump if true, jump if false, operand.
_DROP_SYN: Final = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop the packet
    (0x06, 0, 0, 0xFFFF_FFFF),  # take all of it
)


def kernel_hands_over() -> bool:
    """Whether the kernel gives what a closed listener had to the others of its port."""
    try:
        return _MIGRATES.read_text().strip() == "1"
    except OSError:
        return False


def drop_new_handshakes(listening: socket.socket) -> bool:
    """Let no handshake begin at this socket; those that have begun go on. False where the system can't do that.

    Needs no privilege. Accepted connections inherit the filter; no packet of theirs is a SYN alone.
    """
    if sys.platform != "linux":
        return False
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _DROP_SYN))
    try:
        listening.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HP", len(_DROP_SYN), ctypes.addressof(program)),
        )
    except OSError as error:
        logger.warning(
            "The shared port can't be left without a gap (%s): set net.ipv4.tcp_migrate_req=1, or clients that "
            "connect at this moment may be reset.",
            error.strerror,
        )
        return False
    return True
