"""Which key a start adds, where, and what it shows of it."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.config.key_file import KeyFile
from app.config.settings import Settings
from app.core.api_keys import Scope, digest_of, new_text
from app.worker.first_key import make_first_key
from tests.unit.app.key_fakes import FakeKeys


def settings_of(directory: Path, **changes: object) -> Settings:
    return Settings(_env_file=None, **{"auth": "required", "key_file": directory / "key"} | changes)  # type: ignore[arg-type]


async def test_where_no_key_was_ever_made_it_makes_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    keys, settings = FakeKeys(), settings_of(tmp_path)
    for _ in range(2):
        await make_first_key(keys, settings)
    text = KeyFile.of(settings).read()
    assert text is not None
    (key,) = keys.keys
    assert key.proves(text)
    assert key.scopes == frozenset(Scope)
    assert text not in caplog.text
    assert str(tmp_path / "key") in caplog.text
    assert [vars(line)["event"] for line in caplog.records if line.name == "audit"] == ["key_created"]


async def test_where_a_key_was_made_it_makes_none(tmp_path: Path) -> None:
    keys, settings = FakeKeys(), settings_of(tmp_path)
    text = keys.make(Scope.READ)
    await keys.revoke(text.split("_")[1])
    await make_first_key(keys, settings)
    assert len(keys.keys) == 1
    assert KeyFile.of(settings).read() is None


async def test_an_open_server_makes_none(tmp_path: Path) -> None:
    keys = FakeKeys()
    await make_first_key(keys, settings_of(tmp_path, auth="off"))
    assert keys.keys == []


async def test_the_file_of_before_and_the_environment_give_the_key(tmp_path: Path) -> None:
    settings, text, given = settings_of(tmp_path), new_text(), new_text()
    KeyFile.of(settings).create(text)
    keys = FakeKeys()
    await make_first_key(keys, settings)
    assert keys.keys[0].digest == digest_of(text)
    keys = FakeKeys()
    await make_first_key(keys, settings_of(tmp_path, first_key=SecretStr(given)))
    assert keys.keys[0].digest == digest_of(given)


async def test_the_file_goes_where_another_machine_was_first(tmp_path: Path) -> None:
    class Beaten(FakeKeys):
        async def add_first(self, **_: object) -> bool:  # type: ignore[override]
            self.make(Scope.READ)
            return False

    settings = settings_of(tmp_path)
    await make_first_key(Beaten(), settings)
    assert KeyFile.of(settings).read() is None


async def test_without_a_place_for_it_the_server_stays_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    keys = FakeKeys()
    await make_first_key(keys, settings_of(tmp_path, key_file=tmp_path / "file" / "key"))
    assert keys.keys == []
    assert "PROFILE_FIRST_KEY" in caplog.text
