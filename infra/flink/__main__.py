"""`python -m infra.flink keep|submit|deploy|cancel`: the command of the image `flink-jobs`."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.errors import InfraError
from infra.flink.deploy import deploy
from infra.flink.jobs import cancel, submit
from infra.flink.keeper import keep
from infra.settings import InfraSettings

_MARK: Final = Path("/tmp/jobs-run")  # noqa: S108 - of a container; its probe looks for it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m infra.flink", description="The Flink jobs.")
    parser.add_argument("--topic-prefix", default="", help="as PROFILE_TOPIC_PREFIX of the workers")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("keep", help="submit what is missing, now and whenever the cluster has restarted")
    commands.add_parser("submit", help="submit what is missing, once")
    commands.add_parser("cancel", help="cancel the jobs and remove their checkpoints")
    upgrade = commands.add_parser("deploy", help="upgrade the running jobs, each from a savepoint")
    upgrade.add_argument(
        "--anew", action="store_true", help="changed jobs forget, and read their topics again"
    )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    # The first process of a container ignores SIGTERM otherwise.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings, prefix = InfraSettings(), options.topic_prefix
    try:
        match options.command:
            case "keep":
                keep(settings, topic_prefix=prefix, mark=_MARK)
            case "submit":
                names = submit(settings, topic_prefix=prefix)
            case "cancel":
                names = cancel(settings, topic_prefix=prefix)
            case _:
                names = deploy(settings, topic_prefix=prefix, anew=options.anew)
    except InfraError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.command}: {', '.join(names) or 'nothing to do'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
