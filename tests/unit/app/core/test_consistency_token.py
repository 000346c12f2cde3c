"""The lowest bit of a token says whether a replica has shown it."""

import re

import pytest

from app.core.consistency_token import Tokens, is_of_replica, latest, of_replica, position_of
from app.core.errors import InvalidError
from app.core.signing import Signer


def test_what_a_replica_shows_says_so_and_keeps_its_position() -> None:
    token = of_replica(4096)
    assert (is_of_replica(token), position_of(token)) == (True, 4096)
    assert (is_of_replica(4096), position_of(4096)) == (False, 4096)
    tokens = Tokens(lambda: "1.1.1", Signer(b"s" * 32))
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


def test_a_token_is_signed_over_all_its_parts() -> None:
    database = ["7.2.3"]
    tokens, others = (Tokens(lambda: database[0], Signer(key * 32)) for key in (b"s", b"o"))
    told = tokens.spell(4096)
    assert tokens.read(told) == 4096
    system, tag, rest = told.split(".")
    assert len(tag) == 10
    for wrong in (f"{system}.{tag}.3-1008", f"{system}.{int(tag) ^ 1}.{rest}", others.spell(4096)):
        with pytest.raises(InvalidError) as refused:
            tokens.read(wrong)
        assert refused.value.code == "unsigned-token"
        assert "leave it out" in str(refused.value)
    database[0] = "7.5.3"  # after failovers: what was signed before them can't be compared
    assert tokens.read(told) is None
    assert tokens.read(tokens.spell(8)) == 8


def test_tokens_of_the_version_before_are_read_and_read_ours() -> None:
    tokens = Tokens(lambda: "7.2.3", Signer(b"s" * 32))
    assert tokens.read("7.2.3-1000") == 4096
    assert tokens.read("7.1.3-1000") is None
    # As that version parses it: another timeline, which the primary's present satisfies.
    assert re.fullmatch(r"(\d{1,20})\.(\d{1,10})\.(\d{1,10})-([0-9a-f]{1,16})", tokens.spell(4096))
    assert tokens.spell(4096).split(".")[1] != "2"
