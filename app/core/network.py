"""Who can reach a host's name."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether this machine alone reaches it. A name other than `localhost` may be anybody's."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
