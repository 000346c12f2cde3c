"""What can go wrong with the local stack. Each message names the cause and the way out."""

from app.core.errors import FatalError


class InfraError(FatalError):
    """The stack can't be installed, started or stopped as asked."""


class NotReadyError(InfraError):
    """A service has not answered yet; ask again until its time limit."""
