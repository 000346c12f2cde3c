"""The lowest bit of a token says whether a replica has shown it."""

import pytest

from app.core.consistency_token import Tokens, is_of_replica, latest, of_replica, position_of


def test_what_a_replica_shows_says_so_and_keeps_its_position() -> None:
    token = of_replica(4096)
    assert (is_of_replica(token), position_of(token)) == (True, 4096)
    assert (is_of_replica(4096), position_of(4096)) == (False, 4096)
    tokens = Tokens(lambda: "1.1.1")
    assert tokens.read(tokens.spell(token)) == token


@pytest.mark.parametrize(
    ("parts", "token"),
    [
        ((), 0),
        ((0,), 0),
        ((800, 808), 808),
        ((of_replica(800), 808), of_replica(808)),
        ((808, of_replica(800)), of_replica(808)),
        ((800, of_replica(808)), of_replica(808)),
        ((808, of_replica(808)), of_replica(808)),
        ((0, of_replica(800)), of_replica(800)),
    ],
)
def test_an_answer_of_several_parts_is_of_a_replica_where_one_is(parts: tuple[int, ...], token: int) -> None:
    assert latest(parts) == token
    assert latest(parts[::-1]) == token
