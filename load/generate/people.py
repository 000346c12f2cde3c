"""Invented people and companies, the same for the same seed: names, e-mails and documents with check digits.

Everything here is generated; nothing belongs to a person. Addresses end in `example.com`, which RFC 2606
keeps free.
"""

import random
import unicodedata
from dataclasses import dataclass
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST: Final = _words(
    "Ana Antônio Beatriz Bruno Camila Carlos Cecília Daniel Débora Eduardo Elisa Fábio Fernanda Gabriel "
    "Helena Heitor Isabel João Júlia Lucas Luísa Marcos Mariana Mateus Natália Otávio Paula Pedro Rafael "
    "Renata Rodrigo Sofia Tiago Valéria Vinícius Yasmin"
)
_LAST: Final = _words(
    "Almeida Alves Araújo Barbosa Batista Cardoso Carvalho Castro Costa Dias Fernandes Ferreira Gomes "
    "Gonçalves Lima Lopes Machado Martins Melo Mendes Moreira Nascimento Oliveira Pereira Ramos Ribeiro "
    "Rocha Rodrigues Santos Silva Souza Teixeira"
)
_TRADE: Final = _words(
    "Padaria Mercado Farmácia Livraria Oficina Café Papelaria Floricultura Academia Clínica"
)
_PLACE: Final = _words("Aurora Central Horizonte Ipê Jardim Lagoa Mirante Primavera Serra Vitória")


def stream(*parts: object) -> random.Random:
    """A generator of its own for each thing that is generated, so that their order does not matter."""
    return random.Random(":".join(map(str, parts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A natural person; `email` is unique for (seed, number)."""

    full_name: str
    email: str
    cpf: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A legal person."""

    trade_name: str
    cnpj: str


def person(rng: random.Random, *, seed: int, number: int) -> Person:
    """Draw a person."""
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    name = plain(f"{first}.{last}")
    return Person(
        full_name=f"{first} {rng.choice(_LAST)} {last}",
        email=f"{name}.{seed}-{number}@example.com",
        cpf=cpf(rng),
    )


def company(rng: random.Random) -> Company:
    """Draw a company."""
    name = f"{rng.choice(_TRADE)} {rng.choice(_PLACE)} {rng.randrange(1, 1000)}"
    return Company(trade_name=name, cnpj=cnpj(rng))


def plain(text: str) -> str:
    """Lower case without accents, for addresses."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).lower()


def cpf(rng: random.Random) -> str:
    """Eleven digits, the last two of which check the others (modulo 11)."""
    digits = [rng.randrange(10) for _ in range(9)]
    for weights in (range(10, 1, -1), range(11, 1, -1)):
        digits.append(_check_digit(digits, weights))
    return "".join(map(str, digits))


def cnpj(rng: random.Random) -> str:
    """Fourteen digits, the last two of which check the others (modulo 11)."""
    digits = [rng.randrange(10) for _ in range(8)] + [0, 0, 0, 1]
    for weights in ((5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2), (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)):
        digits.append(_check_digit(digits, weights))
    return "".join(map(str, digits))


def _check_digit(digits: list[int], weights: "range | tuple[int, ...]") -> int:
    rest = sum(digit * weight for digit, weight in zip(digits, weights, strict=True)) % 11
    return 0 if rest < 2 else 11 - rest
