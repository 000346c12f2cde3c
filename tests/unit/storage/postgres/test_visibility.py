"""A position is claimed only where every commit up to it is visible."""

import random

from storage.postgres.positioned import Moment
from storage.postgres.visibility import Visibility


def test_where_nothing_runs_the_position_itself_is_reached() -> None:
    assert Visibility().reached(Moment(800, 5, 5)) == 800


def test_while_a_transaction_runs_only_what_was_before_it_is_reached() -> None:
    seen = Visibility()
    assert seen.reached(Moment(800, 5, 5)) == 800
    assert seen.reached(Moment(880, 5, 6)) == 800, "5 runs, and may be flushed at 880"
    assert seen.reached(Moment(960, 5, 9)) == 800
    assert seen.reached(Moment(1040, 6, 9)) == 880, "6 had not begun at 880"
    assert seen.reached(Moment(1120, 9, 9)) == 1120


def test_who_has_just_started_knows_nothing_of_what_runs() -> None:
    assert Visibility().reached(Moment(800, 5, 6)) == 0


def test_another_primary_has_other_transactions() -> None:
    seen = Visibility()
    seen.reached(Moment(800, 5, 5))
    seen.forget()
    assert seen.reached(Moment(880, 5, 6)) == 0


def test_answers_may_come_late() -> None:
    seen = Visibility()
    for moment in (Moment(800, 5, 5), Moment(960, 7, 8), Moment(880, 5, 6)):
        seen.reached(moment)
    assert seen.reached(Moment(1040, 8, 9)) == 960


def test_many_moments_beside_a_long_transaction_take_bounded_room() -> None:
    seen = Visibility()
    for number in range(5_000):
        seen.reached(Moment(8 * number, 1, number + 1))
    assert len(seen._moments) <= 1_000
    claimed = seen.reached(Moment(80_000, 4_000, 6_000))
    assert 8 * 3_000 < claimed <= 8 * 3_999


def test_no_commit_at_or_below_a_claim_is_ever_invisible() -> None:
    """Transactions begin, are flushed and become visible at random; readers look in between, and answer late."""
    rng = random.Random(7)
    for _ in range(300):
        seen, position, newest = Visibility(), 80, 1
        running: dict[int, int | None] = {}  # where it was flushed
        late: list[tuple[Moment, list[int]]] = []
        for _ in range(60):
            step = rng.randrange(6)
            if step == 0:
                running[newest] = None
                newest += 1
            elif step == 1 and running:
                chosen = rng.choice(list(running))
                if running[chosen] is None:
                    position += 8
                    running[chosen] = position
            elif step == 2:
                flushed = [xid for xid, at in running.items() if at is not None]
                if flushed:
                    del running[rng.choice(flushed)]
            elif step == 3:
                position += 8
            else:
                hidden = [at for at in running.values() if at is not None]
                late.append((Moment(position, min(running, default=newest), newest), hidden))
            if late and rng.random() < 0.6:
                moment, hidden = late.pop(rng.randrange(len(late)))
                claimed = seen.reached(moment)
                assert all(at > claimed for at in hidden), (moment, hidden, claimed)
