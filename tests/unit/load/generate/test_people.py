"""Invented people and their documents."""

import pytest

from load.generate import people


def test_cpf_and_cnpj_have_the_right_check_digits() -> None:
    class Fixed:
        def __init__(self, digits: str) -> None:
            self._digits = iter(digits)

        def randrange(self, _: int) -> int:
            return int(next(self._digits))

    # Well-known examples of both algorithms.
    assert people.cpf(Fixed("111444777")) == "11144477735"  # type: ignore[arg-type]
    assert people.cnpj(Fixed("11222333")) == "11222333000181"  # type: ignore[arg-type]


def test_streams_of_other_names_are_others_and_the_same_again() -> None:
    assert people.stream(1, "a").random() == people.stream(1, "a").random()
    assert people.stream(1, "a").random() != people.stream(1, "b").random()


def test_addresses_are_plain_unique_and_go_nowhere() -> None:
    drawn = [people.person(people.stream(n), seed=1, number=n) for n in range(300)]
    assert len({p.email for p in drawn}) == 300
    assert all(p.email.isascii() and p.email.endswith("@example.com") for p in drawn)


@pytest.mark.parametrize(("text", "expected"), [("Antônio", "antonio"), ("Conceição", "conceicao")])
def test_plain_text_has_no_accents(text: str, expected: str) -> None:
    assert people.plain(text) == expected
