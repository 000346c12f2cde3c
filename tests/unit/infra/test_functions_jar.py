"""How the jar of Flink's functions is named and built, without building it."""

import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from zipfile import ZipFile

import pytest

from infra.errors import InfraError
from infra.install import functions
from infra.settings import InfraSettings


def test_another_source_or_contract_is_another_jar_and_an_example_is_not(tmp_path: Path) -> None:
    sources = tmp_path / "flink"
    shutil.copytree(functions.SQL_DIR, sources)
    before = functions.fingerprint(sources)
    assert before == functions.fingerprint()
    (sources / "functions" / "target").mkdir()
    (sources / "functions" / "target" / "built").touch()
    (sources / "contracts" / "crm.events" / "examples" / "1" / "more.json").touch()
    assert functions.fingerprint(sources) == before
    with (sources / "contracts" / "crm.events" / "schema.json").open("a") as schema:
        schema.write("\n")
    assert functions.fingerprint(sources) != before


@pytest.mark.parametrize(
    ("there", "begins"),
    [
        ({"javac", "mvn"}, ["mvn", "-B"]),
        ({"javac", "mvn", "docker"}, ["mvn", "-B"]),
        ({"docker"}, ["docker", "run", "--rm"]),
    ],
)
def test_maven_builds_here_or_in_a_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: set[str], begins: list[str]
) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(shutil, "which", lambda name: name if name in there else None)
    monkeypatch.setattr(functions, "run", lambda argv, **_: ran.append(argv))
    with pytest.raises(InfraError, match="built 0 jars"):
        functions.functions_jar(InfraSettings(cache_dir=tmp_path))
    assert ran[0][: len(begins)] == begins
    assert "-DskipTests" in ran[0]
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]  # nothing that could be taken for it


def test_another_contract_needs_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes are built once; the jar of each set of contracts is theirs with its contracts in it."""
    sources, settings = tmp_path / "flink", InfraSettings(cache_dir=tmp_path / "cache")
    shutil.copytree(functions.SQL_DIR, sources)
    built = settings.cache_dir / f"source-classes-{functions.fingerprint(sources, parts=('functions',))}"
    for part in (functions.TEST_CLASSES, functions.TEST_JARS):
        (built / part).mkdir(parents=True)
    with ZipFile(built / functions.JAR, "w") as jar:
        jar.writestr("userprofile/Source.class", b"class")
        jar.writestr("contracts/old.events/schema.json", b"{}")
    monkeypatch.setattr(functions, "run", lambda *_, **__: pytest.fail("the compiler ran"))
    first = functions.functions_jar(settings, sources)
    shutil.copytree(sources / "contracts" / "crm.events", sources / "contracts" / "support.tickets")
    second = functions.functions_jar(settings, sources)
    assert first != second
    with ZipFile(first) as before, ZipFile(second) as after:
        assert after.read("userprofile/Source.class") == b"class"
        more = {f"contracts/support.tickets/{name}.json" for name in ("schema", "mapping")}
        assert {*after.namelist()} == {*before.namelist()} | more
        assert "contracts/old.events/schema.json" not in before.namelist()
    content = second.read_bytes()
    shutil.rmtree(second.parent)
    assert functions.functions_jar(settings, sources).read_bytes() == content


def test_every_version_of_the_pom_is_pinned() -> None:
    space = {"m": "http://maven.apache.org/POM/4.0.0"}
    root = ET.parse(functions.SQL_DIR / "functions" / "pom.xml").getroot()
    for plugin in root.findall(".//m:plugin", space):
        assert (plugin.findtext("m:version", namespaces=space) or "")[:1].isdigit()
    for dependency in root.findall(".//m:dependency", space):
        assert (dependency.findtext("m:version", namespaces=space) or "").startswith("${")
    assert all(
        (each.text or "")[0].isdigit()
        for each in root.findall("m:properties/*", space)
        if "version" in each.tag
    )
