"""Who runs a command."""

import getpass


def account() -> str:
    """The account on this machine, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
