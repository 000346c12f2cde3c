"""What is said of Kafka's failures in more than one place."""

from collections.abc import Sequence

from app.core.errors import TransientError


def unreachable(brokers: Sequence[str], error: BaseException) -> TransientError:
    """No broker answers, or it could not do now what was asked."""
    return TransientError(
        f"Kafka at {', '.join(brokers)} does not answer ({type(error).__name__}): start it, or set "
        "PROFILE_KAFKA_BROKERS."
    )
