"""`keys` refuses what makes no sense, before it asks the database."""

from datetime import timedelta

import pytest

from app.__main__ import main
from app.commands.keys import line_of
from app.core.api_keys import ApiKey, Rate, Scope
from tests.unit.app.key_fakes import START

GOOD = ["--name", "ana", "--scope", "read"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["create"], "required"),
        (["create", "--name", "ana"], "--scope"),
        (
            ["create", "--name", "ana", "--scope", "fly"],
            "is not a list of read, write, erase, metrics, admin",
        ),
        (["create", "--name", "ana", "--scope", ","], "is not a list"),
        (["create", "--name", "\x1b[2J", "--scope", "read"], "printable"),
        (["create", *GOOD, "--expires", "soon"], "is not a date"),
        (["create", *GOOD, "--expires", "2001-01-01"], "is over already"),
        (["create", *GOOD, "--rate", "nan"], "is not a rate"),
        (["create", *GOOD, "--rate", "0"], "is not a rate"),
        (["create", *GOOD, "--rate", "5", "--burst", "0"], "is not a number of requests"),
        (["create", *GOOD, "--burst", "5"], "--burst needs --rate"),
        (["revoke"], "required"),
    ],
)
def test_wrong_usage(arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["keys", *arguments])
    assert ended.value.code == 2
    assert problem in capsys.readouterr().err


def test_a_key_is_told_on_a_line_without_its_digest() -> None:
    key = ApiKey(
        id="ab" * 6,
        name="ana\x1b",
        digest=b"digest",
        scopes=frozenset({Scope.WRITE, Scope.READ}),
        created_at=START,
        expires_at=START + timedelta(days=1),
        rate=Rate(per_s=5, burst=10),
    )
    made = "2025-10-05T12:00:00.000000Z"
    ends = "2025-10-06T12:00:00.000000Z"
    line = f"abababababab\tgood\tread,write\t{made}\t{ends}\t5/s, 10 at once\tana\\x1b"
    assert line_of(key, START) == line
    assert line_of(key, START + timedelta(days=2)).split("\t")[1] == "expired"
