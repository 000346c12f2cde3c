"""The units of systemd, as far as they can be judged without one."""

import configparser
import shlex
from pathlib import Path

import pytest

from app.__main__ import _parser
from app.worker.faust_app import ProfileApp

UNITS = sorted((Path(__file__).parents[3] / "infra" / "systemd").iterdir())
WORKER, MIGRATE = "user-profile@.service", "user-profile-migrate.service"


def _unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Sections, their keys, and all values of each in order."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in next(unit for unit in UNITS if unit.name == name).read_text().splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_parses_and_says_what_it_is(unit: Path) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(unit.read_text())
    assert parser["Unit"]["Description"]


@pytest.mark.parametrize("name", [WORKER, MIGRATE])
def test_what_is_started_is_a_command(name: str) -> None:
    for line in _unit(name)["Service"]["ExecStart"]:
        program, _, _, *arguments = shlex.split(line)
        assert program.endswith("/python")
        assert _parser().parse_args(arguments).run


@pytest.mark.parametrize("name", [WORKER, MIGRATE])
def test_no_unit_has_a_right_it_does_not_need(name: str) -> None:
    service = _unit(name)["Service"]
    assert service["User"] == ["user-profile"]
    assert service["NoNewPrivileges"] == ["true"]
    assert service["CapabilityBoundingSet"] == [""]
    assert service["ProtectSystem"] == ["strict"]


def test_a_worker_has_time_to_drain_and_its_processes_are_its_own() -> None:
    service = _unit(WORKER)["Service"]
    assert int(service["TimeoutStopSec"][0]) > ProfileApp.stop_limit_s
    assert service["KillMode"] == [
        "mixed"
    ]  # SIGTERM to each process would drain them under the supervisor's feet
    assert service["OOMPolicy"] == ["continue"]


def test_a_worker_is_started_again_within_bounds() -> None:
    unit = _unit(WORKER)
    assert unit["Service"]["Restart"] == ["on-failure"]
    assert int(unit["Unit"]["StartLimitBurst"][0]) > 0
    assert int(unit["Unit"]["StartLimitIntervalSec"][0]) > 0


def test_the_schema_comes_first() -> None:
    assert [line.rpartition("-m app ")[2] for line in _unit(MIGRATE)["Service"]["ExecStart"]] == [
        "migrate",
        "topics",
        "connector apply",
    ]
