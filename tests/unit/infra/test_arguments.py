"""No program of the stack is given a password in its arguments, which every user of the machine sees."""

from pathlib import Path
from typing import Any

import pytest

from infra.process import ServerProcess
from infra.services import postgres
from infra.services.postgres import PostgresService
from infra.settings import InfraSettings


def test_postgresqls_programs_get_it_by_their_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = InfraSettings(data_root=tmp_path, postgres_password="a-secret-of-the-stack")
    calls: list[tuple[list[str], dict[str, Any]]] = []

    def run(argv: list[str], **named: Any) -> str:
        calls.append((list(argv), named))
        if any("basebackup" in part for part in argv):
            Path(argv[argv.index("-D") + 1]).mkdir(parents=True)
        return ""

    monkeypatch.setattr(postgres, "run", run)
    (tmp_path / "pg_basebackup").touch()
    monkeypatch.setattr(postgres, "find_postgres_bin", lambda: tmp_path)
    service = PostgresService(settings)
    service.directory.mkdir(parents=True)
    service._clone(ServerProcess(name="replica1", directory=service.directory / "replica1", port=1))
    assert len(calls) == 2
    for argv, named in calls:
        assert settings.postgres_password not in " ".join(argv)
        assert named["environment"]["PGPASSWORD"] == settings.postgres_password
