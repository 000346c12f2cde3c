"""`python -m tests.model`: search every world; with `--ablate N`, tell what goes wrong without rule N.

Exit codes: 0, nothing was violated; 1, something was; 2, wrong usage.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.model.invariants import INVARIANTS
from tests.model.rules import ALL, NUMBERS, OBLIGATIONS, Rules, of_rule
from tests.model.search import Violation, explore
from tests.model.world import WORLDS


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--ablate",
        metavar="N",
        choices=[*map(str, NUMBERS), *OBLIGATIONS],
        help="the number of a rule, or one of its obligations: " + ", ".join(OBLIGATIONS),
    )
    ablated: str | None = parser.parse_args(arguments).ablate
    if ablated is None:
        names: tuple[str, ...] = ()
    else:
        names = of_rule(int(ablated)) if ablated.isdigit() else (ablated,)
    print("Without " + ", ".join(names) + ":" if names else "With all rules:")
    shortest = _search(ALL.without(*names))
    if shortest is None:
        return 0
    world, violation = shortest
    print(f"\n{violation.invariant} is violated: {INVARIANTS[violation.invariant]}.")
    print(f"In the world '{world}', {len(violation.trace)} events:")
    for label in violation.trace:
        print(f"  {label}")
    return 1


def _search(rules: Rules) -> tuple[str, Violation] | None:
    """Tell of every world; the name of the one with the shortest trace, and that."""
    shortest: tuple[str, Violation] | None = None
    for world in WORLDS:
        verdict = explore(world, rules)
        violation = verdict.violation
        print(f"  {world.name}: {verdict.states} states, {violation.invariant if violation else 'all hold'}")
        if violation and (shortest is None or len(violation.trace) < len(shortest[1].trace)):
            shortest = world.name, violation
    return shortest


if __name__ == "__main__":
    sys.exit(main())
