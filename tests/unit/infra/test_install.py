"""The download cache: complete or not there at all, and made once."""

import threading
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from infra.errors import InfraError
from infra.install import apt, promtool
from infra.install.artifacts import POM, installed
from infra.settings import InfraSettings


@pytest.fixture
def settings(tmp_path: Path) -> InfraSettings:
    return InfraSettings(cache_dir=tmp_path / "cache")


def test_a_directory_appears_complete_or_not_at_all(settings: InfraSettings) -> None:
    def fails_half_way(directory: Path) -> None:
        (directory / "half.jar").write_text("x")
        raise InfraError("the network went away")

    settings.cache_dir.mkdir()
    with pytest.raises(InfraError, match="went away"):
        installed(settings, "jars", "1", fails_half_way)
    assert not [path for path in settings.cache_dir.iterdir() if path.is_dir()]

    done = installed(settings, "jars", "1", lambda directory: (directory / "a.jar").touch())
    assert [path.name for path in done.iterdir()] == ["a.jar"]


def test_two_installers_download_once(settings: InfraSettings) -> None:
    builds = []

    def build(directory: Path) -> None:
        builds.append(directory)
        time.sleep(0.1)

    threads = [threading.Thread(target=installed, args=(settings, "jars", "1", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(builds) == 1


def test_another_fingerprint_is_another_installation(settings: InfraSettings) -> None:
    first = installed(settings, "jars", "1", lambda directory: None)
    assert installed(settings, "jars", "2", lambda directory: None) != first


def test_every_version_of_the_pom_is_pinned() -> None:
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    root = ET.parse(POM).getroot()
    profiles = [node.text for node in root.findall("m:profiles/m:profile/m:id", space)]
    assert profiles == ["kafka", "connect", "debezium", "flink-connector", "flink-gateway"]
    for version in root.findall(".//m:dependency/m:version", space):
        assert version.text is not None
        assert version.text.startswith("${")
    for value in root.findall("m:properties/*", space):
        assert value.text
        assert value.text[0].isdigit()


def test_elsewhere_it_says_what_has_to_be_there(
    settings: InfraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt.shutil, "which", lambda program: None)
    with pytest.raises(InfraError, match=r"(?s)redis-server.*not Debian.*Docker.*STACK=compose"):
        apt.ensure_programs(settings, {"redis-server": "redis-server"})


def test_without_root_it_gives_the_command(settings: InfraSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt.shutil, "which", lambda p: "/usr/bin/apt-get" if p == "apt-get" else None)
    monkeypatch.setattr(apt.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(apt, "_sudo_works", lambda: False)
    with pytest.raises(InfraError, match="sudo apt-get install redis-server"):
        apt.ensure_programs(settings, {"redis-server": "redis-server"})


def test_of_debians_package_promtool_alone_is_kept(
    settings: InfraSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], *, purpose: str, cwd: Path) -> str:
        assert purpose
        asked.append(argv)
        if argv[0] == "apt-get":
            if len(asked) == 1:
                raise InfraError("the lists are too old")
            (cwd / "prometheus_2.deb").touch()
        else:
            for name in ("prometheus", "promtool"):
                (cwd / "usr/bin").mkdir(parents=True, exist_ok=True)
                (cwd / "usr/bin" / name).write_text(name)
        return ""

    settings.cache_dir.mkdir()
    monkeypatch.setattr("shutil.which", lambda name: name if name == "apt-get" else None)
    monkeypatch.setattr(promtool, "run", run)
    monkeypatch.setattr(promtool, "update_lists", lambda: asked.append(["update"]))
    found = promtool.promtool(settings)
    assert found is not None
    assert found == promtool.find_promtool(settings)
    assert [path.name for path in Path(found).parent.iterdir()] == ["promtool"]
    # Unpacked, never installed: the package would enable a server.
    assert [argv[1] for argv in asked if argv[0] == "apt-get"] == ["download", "download"]
    assert promtool.promtool(settings) == found
    assert len(asked) == 4


def test_elsewhere_there_is_no_promtool(settings: InfraSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert promtool.promtool(settings) is None
