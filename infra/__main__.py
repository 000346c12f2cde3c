"""`python -m infra up|down|status|logs|reset|deploy|install|env|sbom|lock-jars [service…]`: the local stack."""

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from infra import compose, provision, stack
from infra.errors import InfraError
from infra.install.artifacts import PROFILES, maven_jars
from infra.install.functions import TEST_JARS, functions_jar
from infra.install.jars import lock_jars
from infra.install.promtool import promtool
from infra.sbom import sbom
from infra.services import SERVICES, select
from infra.settings import InfraSettings

_EPILOG = (
    f"Services: {', '.join(SERVICES)}; all of them if none is named. "
    "INFRA_PORT_OFFSET moves all ports and the data directory; infra/settings.py names the other settings."
)


def _up(settings: InfraSettings, options: argparse.Namespace) -> None:
    began = time.monotonic()
    in_containers = options.stack == "compose"
    if in_containers:
        names = compose.up(settings, options.services)
    else:
        names = [service.name for service in stack.up(settings, options.services)]
    # The whole system in containers has steps of its own.
    if not options.bare and (options.services or not in_containers):
        provision.provision(settings, names, in_containers=in_containers)
    print(f"The stack is up ({time.monotonic() - began:.1f} s): {', '.join(names)}.")


def _install(settings: InfraSettings, options: argparse.Namespace) -> None:
    if options.stack == "native":  # the images are built by `up`
        stack.install(settings, options.services)
    if not options.services:
        promtool(settings)


def _down(settings: InfraSettings, options: argparse.Namespace) -> None:
    if options.stack == "compose":
        compose.down(settings, options.services)
        print("Stopped; the data stays in Docker's volumes.")
        return
    stack.down(settings, options.services)
    print(f"Stopped; the data stays in {settings.data_dir}.")


def _reset(settings: InfraSettings, options: argparse.Namespace) -> None:
    if options.stack == "compose":
        compose.reset(settings, options.services)
        print("Stopped, and removed with Docker's volumes.")
        return
    stack.reset(settings, options.services)
    print(f"Stopped, and removed from {settings.data_dir}: {', '.join(options.services or SERVICES)}.")


def _deploy(settings: InfraSettings, options: argparse.Namespace) -> None:
    application = provision.app_settings(settings)
    if options.stack == "compose":
        compose.deploy(settings, topic_prefix=application.topic_prefix, anew=options.anew)
        return
    names = provision.deploy_jobs(settings, application, anew=options.anew)
    print(f"Deployed: {', '.join(names)}." if names else "All Flink jobs run the SQL of flink/ already.")


def _status(settings: InfraSettings, options: argparse.Namespace) -> None:
    if options.stack == "compose":
        compose.show(settings, "ps")
        return
    lines = stack.status(settings)
    print(f"{'SERVICE':<10}{'PROCESS':<14}{'STATE':<10}{'PORT':>6}{'PID':>9}{'MEMORY':>10}")
    for line in lines:
        memory = f"{line.memory_bytes / 2**20:.0f} MB" if line.memory_bytes else "-"
        pid = line.pid or "-"
        print(f"{line.service:<10}{line.process:<14}{line.state:<10}{line.port:>6}{pid:>9}{memory:>10}")
    print(f"{'together':<49}{sum(line.memory_bytes for line in lines) / 2**20:>7.0f} MB")


def _logs(settings: InfraSettings, options: argparse.Namespace) -> None:
    if options.stack == "compose":
        containers = [part for name in options.services for part in compose.SERVICE_CONTAINERS.get(name, ())]
        compose.show(settings, "logs", f"--tail={options.lines}", *containers)
        return
    for service in select(settings, options.services, with_required=False):
        for process in service.processes():
            print(f"==> {process.log_file}\n{process.log_tail(options.lines)}\n")


def _env(settings: InfraSettings, _: argparse.Namespace) -> None:
    for name, value in settings.app_environment().items():
        print(f"export {name}='{value}'")


def _sbom(*_: object) -> None:
    print(sbom(), end="")


def _lock_jars(settings: InfraSettings, _: argparse.Namespace) -> None:
    directories = {profile: maven_jars(settings, profile, verified=False) for profile in PROFILES}
    directories["functions"] = functions_jar(settings, verified=False).parent / TEST_JARS
    print(f"{lock_jars(directories, Path.home() / '.m2' / 'repository')} jars are locked.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m infra", description="The local stack.", epilog=_EPILOG)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, action, text in (
        ("up", _up, "install, start and await; then topics, schema, connector and Flink jobs"),
        ("down", _down, "stop; data stays"),
        ("status", _status, "what runs, where, and how much memory it holds"),
        ("logs", _logs, "the end of the logs"),
        ("reset", _reset, "stop and remove the data"),
        ("deploy", _deploy, "upgrade the running Flink jobs to the SQL of flink/, each from a savepoint"),
        ("install", _install, "put the programs on this machine, without starting them"),
        ("sbom", _sbom, "what the lock files name, as CycloneDX 1.5 in JSON, to stdout"),
        ("lock-jars", _lock_jars, "after a change of a pom: write infra/install/jars.lock again"),
        ("env", _env, "the PROFILE_… variables with which a worker uses this stack"),
    ):
        command = commands.add_parser(name, help=text, epilog=_EPILOG)
        command.set_defaults(action=action)
        command.add_argument("services", nargs="*", metavar="service")
        command.add_argument(
            "--stack", choices=["native", "compose"], default="native", help="servers, or containers"
        )
        if name == "up":
            command.add_argument("--bare", action="store_true", help="servers only")
        if name == "deploy":
            command.add_argument(
                "--anew", action="store_true", help="changed jobs forget, and read their topics again"
            )
        if name == "logs":
            command.add_argument("-n", "--lines", type=int, default=40)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, or 1 with the reason on stderr."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        options.action(InfraSettings(), options)
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        print(f"The settings (INFRA_…) can't be used: {reasons}", file=sys.stderr)
        return 1
    except InfraError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
