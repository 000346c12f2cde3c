"""The consumer groups that workers may have, by their roles."""

from itertools import combinations

from app.config.settings import Role, Settings


def publisher_groups(settings: Settings) -> frozenset[str]:
    """Those of all sets of roles that have cdc: whichever of them runs publishes domain events, and nobody else."""
    others = [role for role in Role if role is not Role.CDC]
    sets = (rest for size in range(len(others) + 1) for rest in combinations(others, size))
    return frozenset(settings.model_copy(update={"roles": [Role.CDC, *rest]}).group_id for rest in sets)
