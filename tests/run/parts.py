"""The parts of the checks: what each runs, which servers it needs, and what runs beside it.

A stage begins when all parts of the stage before have passed. Its lanes run at the same time, and the
parts of a lane one after the other. Each lane has servers of its own, on ports of its own, so that a test
may pause a replica or fill a topic while the other lane works. Parts that wait (Flink, Kafka Connect) stand
beside parts that compute. Lanes of a stage should take about the same time: the table at the end shows it.
"""

import sys
from dataclasses import dataclass
from typing import Final

POSTGRES_REDIS_KAFKA: Final = frozenset({"postgres", "redis", "kafka"})
CONNECT: Final = POSTGRES_REDIS_KAFKA | {"connect"}
FLINK: Final = frozenset({"kafka", "flink"})
ALL: Final = CONNECT | FLINK


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A command, or a group of tests: the tests in `paths` but those in `without` that `marked` selects."""

    name: str
    command: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    marked: str = "not chaos"
    servers: frozenset[str] = frozenset()

    def has(self, file: str) -> bool:
        """Whether the group has this test file, which is named from the root of the repository."""
        return _within(file, self.paths) and not _within(file, self.without)

    def argv(self, *pytest_arguments: str) -> list[str]:
        if self.command:
            return [*self.command]
        ignored = [f"--ignore={path}" for path in self.without]
        return [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            self.marked,
            *self.paths,
            *ignored,
            *pytest_arguments,
        ]


@dataclass(frozen=True, slots=True)
class Stage:
    """Lanes of parts. `stops` ends the stage at the first part that fails; else the others still run."""

    name: str
    lanes: tuple[tuple[Part, ...], ...]
    stops: bool = False

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(part for lane in self.lanes for part in lane)


def _within(file: str, paths: tuple[str, ...]) -> bool:
    return any(file == path or file.startswith(f"{path}/") for path in paths)


def _make(target: str) -> Part:
    # ARGS is for pytest.
    return Part(name=target, command=("make", "--no-print-directory", target, "ARGS="))


LINT: Final = Stage("lint", ((_make("lint-quick"),),), stops=True)

PREPARE: Final = Stage(
    "prepare",
    (
        (_make("types"), _make("test-k6")),
        (
            Part(name="install", command=(sys.executable, "-m", "infra", "install")),
            *map(_make, ("docs-tools", "ui", "test-ui")),
        ),
    ),
    stops=True,
)

_UNIT_OF_WEB_AND_STORES: Final = ("tests/unit/web", "tests/unit/storage", "tests/unit/app")
UNIT: Final = Stage(
    "unit",
    (
        (Part(name="unit-web-stores", paths=_UNIT_OF_WEB_AND_STORES),),
        (
            Part(
                name="unit-others",
                paths=("tests/unit", "tests/model", "tests/simulation"),
                without=_UNIT_OF_WEB_AND_STORES,
            ),
            Part(name="functions", paths=("tests/functions",)),
        ),
    ),
)

_CONVERGENCE: Final = tuple(
    f"tests/integration/storage/{name}.py"
    for name in ("test_convergence", "test_convergence_mutants", "test_cached_equals_uncached")
)
_WITH_FLINK: Final = ("tests/e2e/test_main_job.py",)
_WITH_CONNECT: Final = ("tests/e2e/test_observability.py", "tests/e2e/ui/test_live.py")
_BENCHES: Final = tuple(f"tests/integration/load/test_bench_{name}.py" for name in ("events", "import"))
_DEBEZIUM: Final = ("tests/integration/infra/test_debezium.py",)

SERVERS: Final = Stage(
    "servers",
    (
        (
            Part(name="flink", paths=("tests/integration/flink",), servers=FLINK),
            Part(name="main-job", paths=_WITH_FLINK, servers=ALL),
            Part(name="cdc", paths=("tests/integration/cdc", *_BENCHES, *_DEBEZIUM), servers=CONNECT),
            Part(name="live", paths=_WITH_CONNECT, servers=CONNECT),
            Part(
                name="own-servers",
                paths=("tests/integration/security", "tests/integration/infra"),
                without=_DEBEZIUM,
                servers=POSTGRES_REDIS_KAFKA,
            ),
        ),
        (
            Part(
                name="storage",
                paths=("tests/integration/storage",),
                without=_CONVERGENCE,
                servers=POSTGRES_REDIS_KAFKA,
            ),
            Part(name="convergence", paths=_CONVERGENCE, servers=POSTGRES_REDIS_KAFKA),
            Part(
                name="web",
                paths=tuple(f"tests/integration/{name}" for name in ("web", "agents", "app", "load")),
                without=_BENCHES,
                servers=POSTGRES_REDIS_KAFKA,
            ),
            Part(name="page", paths=("tests/e2e/ui",), without=_WITH_CONNECT, servers=POSTGRES_REDIS_KAFKA),
            Part(
                name="workers",
                paths=("tests/e2e",),
                without=("tests/e2e/ui", *_WITH_FLINK, *_WITH_CONNECT),
                servers=POSTGRES_REDIS_KAFKA,
            ),
        ),
    ),
)

_READ_FAULTS: Final = ("tests/e2e/test_read_availability.py", "tests/e2e/test_a_minute_of_faults.py")
_FIXED: Final = "chaos and ci"
# Faults have no other tests beside them: they count who gets no answer, or a late one.
FAULTS: Final = Stage(
    "faults",
    (
        (
            Part(
                name="kills",
                paths=("tests/e2e", "tests/integration"),
                without=_READ_FAULTS,
                marked=_FIXED,
                servers=POSTGRES_REDIS_KAFKA,
            ),
            Part(name="read-faults", paths=_READ_FAULTS, marked=_FIXED, servers=POSTGRES_REDIS_KAFKA),
        ),
        (_make("audit"),),
    ),
)

TEST: Final = (LINT, PREPARE, UNIT, SERVERS)
CI: Final = (*TEST, FAULTS)
