"""Waiting for a service, and what is said when it fails."""

import sys
from pathlib import Path
from typing import ClassVar

import pytest

from infra import stack
from infra.errors import InfraError, NotReadyError
from infra.process import ServerProcess
from infra.service import Service, run
from infra.services import SERVICES, select
from infra.settings import InfraSettings


class Scripted(Service):
    """Runs a Python line; ready after `answers_after` questions."""

    name: ClassVar[str] = "scripted"
    script: ClassVar[str] = "import time; time.sleep(60)"
    answers_after: ClassVar[float] = 2
    questions = 0
    installs = 0

    def install(self) -> None:
        type(self).installs += 1

    def configure(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    def processes(self) -> list[ServerProcess]:
        return [ServerProcess(name="main", directory=self.directory, port=4711)]

    def start(self) -> None:
        self.processes()[0].start([sys.executable, "-c", self.script])

    def ready(self) -> None:
        self.questions += 1
        if self.questions < self.answers_after:
            raise NotReadyError("not yet")


class Dying(Scripted):
    name: ClassVar[str] = "dying"
    script: ClassVar[str] = "raise SystemExit('port 4711 is taken')"
    answers_after: ClassVar[float] = float("inf")


class Silent(Scripted):
    name: ClassVar[str] = "silent"
    answers_after: ClassVar[float] = float("inf")


class Dependent(Scripted):
    name: ClassVar[str] = "dependent"
    requires: ClassVar[tuple[str, ...]] = ("dying",)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InfraSettings:
    for kind in (Scripted, Dying, Silent, Dependent):
        monkeypatch.setitem(SERVICES, kind.name, kind)
    return InfraSettings(data_root=tmp_path, start_timeout_s=1.0)


def test_up_twice_starts_once_and_down_stops(settings: InfraSettings) -> None:
    stack.up(settings, ["scripted"])
    pid = Scripted(settings).processes()[0].pid()
    assert pid is not None
    installs = Scripted.installs
    stack.up(settings, ["scripted"])
    assert Scripted(settings).processes()[0].pid() == pid
    assert Scripted.installs == installs, "what runs is not installed again"
    stack.down(settings, ["scripted"])
    assert Scripted(settings).processes()[0].pid() is None
    assert Scripted(settings).directory.exists()
    stack.reset(settings, ["scripted"])
    assert not Scripted(settings).directory.exists()


def test_a_process_that_ends_is_told_with_its_last_words_and_a_way_out(settings: InfraSettings) -> None:
    with pytest.raises(InfraError, match=r"(?s)does not run.*port 4711 is taken.*INFRA_PORT_OFFSET"):
        stack.up(settings, ["dying"])


def test_a_service_that_does_not_answer_is_told_after_its_time(settings: InfraSettings) -> None:
    try:
        with pytest.raises(InfraError, match=r"did not answer within 1 s \(not yet\)"):
            stack.up(settings, ["silent"])
        assert Silent(settings).running(), "it stays up, so that it can be looked at"
    finally:
        stack.reset(settings, ["silent"])


def test_what_requires_a_failed_service_is_not_started(settings: InfraSettings) -> None:
    with pytest.raises(InfraError, match="dying"):
        stack.up(settings, ["dependent"])
    assert not Dependent(settings).running()


def test_select_adds_what_is_required_in_the_order_of_starting() -> None:
    settings = InfraSettings()
    assert [service.name for service in select(settings, ["connect"])] == ["kafka", "connect"]
    assert [s.name for s in select(settings, [])] == ["postgres", "redis", "kafka", "connect", "flink"]
    with pytest.raises(InfraError, match="no service 'mysql'"):
        select(settings, ["mysql"])


def test_a_missing_program_and_a_failing_one_are_told() -> None:
    with pytest.raises(InfraError, match="Counting needs the program 'no-such-program'"):
        run(["no-such-program"], purpose="Counting")
    with pytest.raises(InfraError, match=r"(?s)Counting failed \(exit code 3\).*why"):
        run(
            [sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"],
            purpose="Counting",
        )
