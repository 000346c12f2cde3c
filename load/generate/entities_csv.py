"""`entities-csv`: the users in the database as `id,email,cpf`, which the load tests pick from.

Users without an e-mail or a CPF are left out, since a third of the mix asks by them. An e-mail is either
`{"address": …}` or plain text; the file holds those of one form, the more frequent one, since the path to
ask by differs.
"""

import argparse
import asyncio
import csv
from pathlib import Path

from app.config.settings import Settings
from load.errors import LoadError
from load.generate.postgres import connect

DEFAULT_PATH = Path(".run/entities.csv")

# Skips accounts and others that are no users; an e-mail path is told by the form of the value.
_SELECT = """
    WITH users AS (
        SELECT id,
               properties #>> '{email,value,address}' AS address,
               CASE jsonb_typeof(properties #> '{email,value}')
                   WHEN 'string' THEN properties #>> '{email,value}' END AS plain,
               properties #>> '{document,value,number}' AS cpf
        FROM entities
        WHERE type = 'user'
    ), form AS (
        SELECT count(address) >= count(plain) AS nested FROM users WHERE cpf IS NOT NULL
    )
    SELECT id, CASE WHEN nested THEN address ELSE plain END AS email, cpf, nested
    FROM users, form
    WHERE CASE WHEN nested THEN address ELSE plain END IS NOT NULL AND cpf IS NOT NULL
    ORDER BY id
    LIMIT $1"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--out", type=Path, default=DEFAULT_PATH, help="file (default %(default)s)")
    parser.add_argument("--limit", type=int, default=10_000, help="users at most (default %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Write the file and print the number of users in it."""
    users, path = export(Settings(), args.out, limit=args.limit)
    print(f"{len(users):,} users in {args.out}; ask by {path} and document.number")
    return 0


def export(settings: Settings, out: Path, *, limit: int) -> tuple[list[tuple[int, str, str]], str]:
    """Write the file; its users, and the property by which an e-mail is found. Raises LoadError without users."""
    rows, nested = asyncio.run(select(settings, limit))
    if not rows:
        raise LoadError(
            "There are no users with an e-mail and a CPF; generate some with `make run-datagen-postgres`."
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "email", "cpf"))
        writer.writerows(rows)
    return rows, "email.address" if nested else "email"


async def select(settings: Settings, limit: int) -> tuple[list[tuple[int, str, str]], bool]:
    """The first users by id, and whether their e-mails are objects rather than text."""
    pool = await connect(settings, 1)
    try:
        found = await pool.fetch(_SELECT, limit)
    finally:
        await pool.close()
    rows = [(row["id"], row["email"], row["cpf"]) for row in found]
    return rows, bool(found and found[0]["nested"])
