"""How a few rounds are told: the median with the least and the most."""

from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float], form: str) -> str:
    """Such as `0.71 (0.68 to 0.75)`; `form` is a format with one place."""
    middle, least, most = (form.format(value) for value in (median(values), min(values), max(values)))
    return f"{middle} ({least} to {most})"
