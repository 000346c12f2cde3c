"""`python -m app <command>`: the worker, and all that an operator does beside it; `--help` lists it.

Errors are one line on stderr; the exit code is 1 for them and 2 for wrong usage.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from app.commands import (
    audit,
    connector,
    dead_letters,
    doctor,
    erasures,
    events,
    keys,
    placeholders,
    points,
    roles,
    sources,
)
from app.config.settings import Settings, problems_of
from app.core.errors import ProfileError
from app.kafka.client import KafkaError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    # What the client has to say is in its exceptions; without a handler it would say it on stderr, too.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    args = _parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except ValidationError as error:
        for problem in problems_of(error):
            print(f"error: {problem}", file=sys.stderr)
        return 1
    except (ProfileError, KafkaError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app", description="The user-profile service.")
    commands = parser.add_subparsers(required=True, metavar="command")

    worker = commands.add_parser("worker", help="run a worker with the roles of PROFILE_ROLES")
    worker.add_argument("--web-port", type=int, help="instead of PROFILE_WEB_PORT")
    worker.add_argument("-l", "--loglevel", default="info", choices=("debug", "info", "warn", "error"))
    worker.set_defaults(run=_worker)

    commands.add_parser("migrate", help="bring the schema up to date").set_defaults(run=_migrate)
    commands.add_parser("topics", help="create the topics that are missing").set_defaults(run=_topics)

    named = (
        connector,
        events,
        dead_letters,
        audit,
        placeholders,
        points,
        keys,
        roles,
        erasures,
        doctor,
        sources,
    )
    for command in named:
        command.add_to(commands)
    return parser


def _worker(args: argparse.Namespace) -> int:
    from faust.cli.faust import cli  # noqa: PLC0415 — only this command needs it

    arguments = ["-A", "app", "worker", "-l", args.loglevel]
    if args.web_port is not None:
        arguments += ["-p", str(args.web_port)]
    cli(arguments)
    return 0


def _migrate(_: argparse.Namespace) -> int:
    from storage.postgres.migrator import migrate  # noqa: PLC0415 — only this command needs it

    applied = asyncio.run(migrate(Settings().postgres_dsn.get_secret_value()))
    print("\n".join(f"applied {name}" for name in applied) or "The schema is up to date.")
    return 0


def _topics(_: argparse.Namespace) -> int:
    from app.kafka.admin import create_topics  # noqa: PLC0415 — only this command needs it

    settings = Settings()
    created = asyncio.run(create_topics(settings.kafka, settings.topic_specs))
    print("\n".join(f"created {name}" for name in created) or "All topics are there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
