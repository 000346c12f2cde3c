"""`python -m load <command>`: data generators and load tests.

Each command is a module with `add_arguments(parser)` and `run(args)`; it is imported when it is called, so
that a command needs only what it uses. Errors are one line on stderr; the exit code is 1 for them and 2
for wrong usage.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.errors import ProfileError
from load.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Where a command lives and what the help says of it."""

    module: str
    summary: str


COMMANDS = {
    "postgres": Command(
        module="load.generate.postgres", summary="users, organisations, devices and their months, by COPY"
    ),
    "entities-edges": Command(
        module="load.generate.entities_edges", summary="entities and relationships, to their Kafka topic"
    ),
    "entity-properties": Command(
        module="load.generate.entity_properties", summary="properties, some told twice out of order, to Kafka"
    ),
    "temporal-data": Command(module="load.generate.temporal_data", summary="time series by month, to Kafka"),
    "source-events": Command(
        module="load.generate.source_events", summary="source events for Flink, to Kafka"
    ),
    "entities-csv": Command(
        module="load.generate.entities_csv", summary="id,email,cpf of the users, for load tests"
    ),
    "http": Command(
        module="load.bench.mix", summary="the k6 mix against a running worker, driven by k6 or wrk"
    ),
    "bench-ingest": Command(
        module="load.bench.ingest", summary="records/s of the agents beside a bare consumer loop"
    ),
    "bench-provenance": Command(
        module="load.bench.provenance", summary="what keeping the sources of properties costs a writer"
    ),
    "bench-refusals": Command(
        module="load.bench.refusals", summary="windows with refused records beside windows of good ones"
    ),
    "bench-events": Command(
        module="load.bench.events", summary="changes/s from a commit to its domain event, and the time of one"
    ),
    "bench-jobs": Command(
        module="load.bench.jobs", summary="time of a record from a source topic through Flink"
    ),
    "bench-steps": Command(
        module="load.bench.steps", summary="CPU of each Python step of ingestion and CDC, without servers"
    ),
    "bench-capture": Command(
        module="load.bench.capture", summary="CPU of a cdc worker for each change, its Kafka clients included"
    ),
    "bench-reads": Command(
        module="load.bench.reads", summary="reads by each path, or the mix, beside a bare aiohttp handler"
    ),
    "bench-mixed": Command(
        module="load.bench.mixed",
        summary="reads at a fixed rate while a worker with all roles takes records in",
    ),
    "screenshots": Command(
        module="load.generate.screenshots", summary="pictures of the page's views, of a running worker"
    ),
    "bench-hostile": Command(
        module="load.bench.hostile", summary="what the dearest requests hold of the event loop and of memory"
    ),
    "bench-sizes": Command(
        module="load.bench.sizes", summary="latency, memory and plans as the database grows"
    ),
    "demo": Command(module="load.demo.command", summary="the main job from source events to answers"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m load", description="Data generators and load tests.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    chosen = arguments[0] if arguments and arguments[0] in COMMANDS else None
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.summary, description=command.summary)
        if name == chosen:
            module = importlib.import_module(command.module)
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    args = parser.parse_args(arguments)
    # Who is told to end ends the servers that it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        code: object = args.run(args)
    except (LoadError, ProfileError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
