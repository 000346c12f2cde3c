"""The protocol holds in every world, and each of its obligations is needed."""

import pytest

from tests.model.__main__ import main
from tests.model.invariants import INVARIANTS
from tests.model.rules import ALL, NUMBERS, OBLIGATIONS, Rules, of_rule
from tests.model.search import Violation, explore
from tests.model.world import WORLDS, World


def first_violation(rules: Rules) -> Violation | None:
    """The first world that goes wrong decides; small ones come first."""
    verdicts = (explore(world, rules) for world in WORLDS)
    return next((verdict.violation for verdict in verdicts if verdict.violation), None)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_nothing_is_stale_in_any_interleaving(world: World) -> None:
    verdict = explore(world, ALL)
    print(f"{world.name}: {verdict.states} states")
    assert verdict.violation is None, "\n".join(verdict.violation.trace)
    assert verdict.states > 500, "the search ended early"


@pytest.mark.parametrize("obligation", OBLIGATIONS)
def test_without_one_obligation_something_is_stale(obligation: str) -> None:
    violation = first_violation(ALL.without(obligation))
    assert violation is not None
    assert violation.invariant in INVARIANTS


@pytest.mark.parametrize("number", NUMBERS)
def test_without_one_rule_something_is_stale(number: int) -> None:
    assert first_violation(ALL.without(*of_rule(number))) is not None


def test_every_obligation_belongs_to_a_rule() -> None:
    assert sorted(OBLIGATIONS) == sorted(name for number in NUMBERS for name in of_rule(number))


def test_the_command_tells_how_it_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ablate", "5"]) == 1
    told = capsys.readouterr().out
    assert "violated" in told
    assert "answers value 0" in told
