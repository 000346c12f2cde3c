"""`python -m app roles`: the database's roles, their rights, and the logins that the settings name."""

import asyncio
from typing import TYPE_CHECKING, Final

from app.config.settings import Settings
from app.core.errors import FatalError

if TYPE_CHECKING:
    import argparse

_DESCRIPTION: Final = """\
Grants the roles of the database what they lack, and makes the logins of PROFILE_POSTGRES_READ_DSN, _WRITE_DSN and
_REPLICA_DSNS, and of PROFILE_CONNECT_POSTGRES_DSN for Debezium, with the passwords that stand there: a login that is
there gets that password. Runs as the user of PROFILE_POSTGRES_DSN, who has to be allowed to make roles. The server is
sent verifiers of passwords, never a password. May be repeated.
"""


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `roles`; it sets `run`."""
    command = commands.add_parser(
        "roles",
        help="make the database logins that the settings name, each with its rights",
        description=_DESCRIPTION,
    )
    command.set_defaults(run=lambda _: asyncio.run(_run(Settings())))


async def _run(settings: Settings) -> int:
    from storage.postgres.migrator import grant  # noqa: PLC0415 - only this command needs it
    from storage.postgres.roles import DatabaseRole, Login, make_login  # noqa: PLC0415 - see above

    dsn = settings.postgres_dsn.get_secret_value()
    refused = await grant(dsn)
    for sentence in refused:
        print(sentence)
    owner = Login.of(dsn).name
    readers = [settings.postgres_read_dsn, *settings.postgres_replica_dsns]
    named = [(DatabaseRole.READER, each) for each in readers if each is not None]
    named += [(DatabaseRole.WRITER, each) for each in [settings.postgres_write_dsn] if each is not None]
    named += [(DatabaseRole.CDC, each) for each in [settings.connect_postgres_dsn] if each is not None]
    made: dict[str, tuple[DatabaseRole, Login]] = {}
    for role, secret in named:
        login = Login.of(secret.get_secret_value())
        if login.name == owner:
            continue  # one login for all, as by default
        if made.setdefault(login.name, (role, login)) != (role, login):
            raise FatalError(
                f"The login {login.name} stands in two settings for two roles, or with two passwords: give each role a "
                "login of its own."
            )
    for role, login in made.values():
        await make_login(dsn, login, role)
        print(f"{login.name} is a login of {role}.")
    if not made:
        print(f"No setting names another login than {owner}, by which all runs.")
    return 1 if refused else 0
