"""The broker's storage is formatted under whichever id it gets."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.services import kafka
from infra.services.kafka import KafkaService
from infra.settings import InfraSettings


@pytest.mark.parametrize("number", [0xF8 << 120, 1 << 120])
def test_an_id_that_begins_with_a_dash_is_no_option(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(argv: Sequence[str], *, purpose: str) -> None:
        commands.append(list(argv))

    monkeypatch.setattr(kafka, "run", run)
    monkeypatch.setattr(kafka, "maven_jars", lambda *_: tmp_path)
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=number))
    KafkaService(InfraSettings(data_root=tmp_path)).configure()
    (command,) = commands
    told = command[command.index("format") + 1 : -2]
    assert [part.partition("=")[0] for part in told] == ["--standalone", "--cluster-id"]
    assert len(told[1].partition("=")[2]) == 22
    assert not any(part.startswith("-") and not part.startswith("--") for part in told)
