"""Jars are those that were locked, or they are not used."""

from pathlib import Path

import pytest

from infra.errors import InfraError
from infra.install import artifacts
from infra.install.functions import fingerprint
from infra.install.jars import LOCK, lock_jars, locked, verify
from infra.settings import InfraSettings


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name, content in (("a-1.0.jar", b"a"), ("b-2.0-linux.jar", b"b")):
        artifact, version, *_ = name.removesuffix(".jar").split("-")
        place = tmp_path / "repository" / "org" / "example" / artifact / version
        place.mkdir(parents=True)
        (place / name).write_bytes(content)
    return tmp_path / "repository"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "kafka"
    made.mkdir()
    (made / "a-1.0.jar").write_bytes(b"a")
    (made / "b-2.0-linux.jar").write_bytes(b"b")
    return made


@pytest.fixture
def lock(tmp_path: Path, folder: Path, repository: Path) -> Path:
    assert lock_jars({"kafka": folder}, repository, tmp_path / "jars.lock") == 2
    return tmp_path / "jars.lock"


def test_what_is_locked_is_read_again(folder: Path, lock: Path) -> None:
    assert [(jar.coordinates, jar.file_name) for jar in locked(lock)] == [
        ("org.example:a:1.0", "a-1.0.jar"),
        ("org.example:b:2.0:linux", "b-2.0-linux.jar"),
    ]
    verify(folder, "kafka", lock)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda folder: (folder / "a-1.0.jar").write_bytes(b"other"), "a-1.0.jar: another content"),
        (lambda folder: (folder / "c-1.jar").write_bytes(b"c"), "c-1.jar: not locked"),
        (lambda folder: (folder / "a-1.0.jar").unlink(), "a-1.0.jar: missing"),
    ],
)
def test_anything_else_is_refused_by_name(folder: Path, lock: Path, change: object, told: str) -> None:
    change(folder)  # type: ignore[operator]
    with pytest.raises(InfraError, match=told):
        verify(folder, "kafka", lock)


def test_a_download_that_is_not_as_locked_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = InfraSettings(cache_dir=tmp_path / "cache", data_root=tmp_path)
    settings.cache_dir.mkdir()

    def download(argv: list[str], *, purpose: str) -> str:
        (target,) = [part.partition("=")[2] for part in argv if part.startswith("-DoutputDirectory=")]
        (Path(target) / "kafka_2.13-4.3.1.jar").write_bytes(b"from somebody else")
        return ""

    monkeypatch.setattr(artifacts, "run", download)
    monkeypatch.setattr(artifacts, "ensure_programs", lambda *_: None)
    with pytest.raises(InfraError, match=r"kafka_2\.13-4\.3\.1\.jar: another content"):
        artifacts.maven_jars(settings, "kafka")
    assert not [path for path in settings.cache_dir.iterdir() if path.is_dir()]


def test_each_folder_is_locked() -> None:
    folders = {jar.folder for jar in locked()}
    assert folders == {*artifacts.PROFILES, "functions"}
    assert all(len(jar.sha256) == 64 for jar in locked())


def test_what_is_installed_here_is_as_locked() -> None:
    """Where anything is: a machine without the stack has nothing to compare."""
    settings = InfraSettings()
    for path in settings.cache_dir.glob("*-jars-*"):
        profile, _, pom = path.name.partition("-jars-")
        if pom == artifacts.pom_fingerprint() and profile in artifacts.PROFILES:
            verify(path, profile, LOCK)
    built = settings.cache_dir / f"source-functions-{fingerprint()}" / "test-jars"
    if built.is_dir():
        verify(built, "functions", LOCK)
