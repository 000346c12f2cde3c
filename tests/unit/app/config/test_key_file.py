"""The file with this machine's key: private, one for all processes, never replaced by accident."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.config.key_file import KeyFile, local_key
from app.config.settings import Settings
from app.core.api_keys import new_text
from app.core.errors import FatalError


def test_it_lies_in_the_state_directory_under_the_name_of_the_database(tmp_path: Path) -> None:
    settings = Settings(
        _env_file=None, postgres_dsn=SecretStr("postgresql://ana:secret@db.example:5432/profiles?x=y")
    )
    found = KeyFile.of(settings, {"XDG_STATE_HOME": str(tmp_path)}).path
    assert found == tmp_path / "user-profile" / "db.example_5432_profiles.key"
    assert KeyFile.of(settings, {"HOME": "/home/ana"}).path.is_relative_to(
        "/home/ana/.local/state/user-profile"
    )
    named = Settings(_env_file=None, key_file=tmp_path / "mine")
    assert KeyFile.of(named).path == tmp_path / "mine"


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state" / "key")
    text = new_text()
    assert file.read() is None
    assert file.create(text) == text
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in file.path.parent.iterdir()] == ["key"]
    assert file.is_private


def test_the_first_of_many_is_the_one_that_all_get(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(file.create, [new_text() for _ in range(64)]))
    assert found == {file.read()}
    later = new_text()
    assert file.create(later) != later
    file.replace(later)
    assert file.read() == later


def test_what_is_no_key_is_refused_with_a_way_out(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "key")
    for content in (b"", b"nonsense", b"\xff\xfe", b"x" * 100_000):
        file.path.write_bytes(content)
        with pytest.raises(FatalError, match=r"keys renew|PROFILE_KEY_FILE"):
            file.read()
    (tmp_path / "file").write_text("")
    with pytest.raises(FatalError, match="PROFILE_KEY_FILE"):
        KeyFile(tmp_path / "file" / "key").create(new_text())


def test_a_key_of_the_environment_comes_first(tmp_path: Path) -> None:
    text = new_text()
    settings = Settings(_env_file=None, first_key=SecretStr(text), key_file=tmp_path / "key")
    assert local_key(settings) == text
    with pytest.raises(ValidationError, match="keys generate"):
        Settings(_env_file=None, first_key=SecretStr("nonsense"))
