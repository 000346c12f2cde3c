"""The list of parts has the shape of CycloneDX 1.5 and each part of the lock files."""

import json
import re
from collections import Counter
from typing import Any

import pytest

from infra.install.jars import locked
from infra.sbom import NPM, PYTHON, ROOT, sbom

LENGTHS = {"SHA-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sbom())
    return found


def test_it_has_the_members_that_cyclonedx_asks_for(document: dict[str, Any]) -> None:
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.5", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", document["serialNumber"])
    assert document["metadata"]["component"]["type"] == "application"
    allowed = {"type", "bom-ref", "group", "name", "version", "purl", "hashes", "properties"}
    for component in document["components"]:
        assert component.keys() <= allowed
        assert component["type"] == "library"
        assert component["name"]
        assert component["version"]
        for entry in component["hashes"]:
            assert re.fullmatch(f"[0-9a-f]{{{LENGTHS[entry['alg']]}}}", entry["content"])
        assert all(set(entry) == {"name", "value"} for entry in component["properties"])


def test_each_part_has_one_address_and_a_hash(document: dict[str, Any]) -> None:
    refs = Counter(component["bom-ref"] for component in document["components"])
    assert max(refs.values()) == 1
    purl = re.compile(r"pkg:(pypi/[a-z0-9-]+|npm/(%40[^/@]+/)?[^/@]+|maven/[^/@]+/[^/@]+)@[^@]+")
    for component in document["components"]:
        assert purl.fullmatch(component["purl"]), component["purl"]
        assert component["hashes"], component["purl"]


def test_it_names_all_that_is_locked(document: dict[str, Any]) -> None:
    named = {component["purl"] for component in document["components"]}
    lines = [line for lock in PYTHON for line in (ROOT / lock).read_text().splitlines() if "==" in line]
    assert len([line for line in lines if re.match(r"[A-Za-z0-9]", line)]) == len(
        {(line.split(" ")[0]) for line in lines}
    )
    assert sum(purl.startswith("pkg:pypi/") for purl in named) == len({line.split(" ")[0] for line in lines})
    for project in NPM:
        packages = json.loads((ROOT / project / "package-lock.json").read_text())["packages"]
        for path, told in packages.items():
            if path:
                name = path.rpartition("node_modules/")[2].replace("@", "%40")
                assert f"pkg:npm/{name}@{told['version']}" in named
    assert sum(purl.startswith("pkg:maven/") for purl in named) == len({jar.coordinates for jar in locked()})


def test_the_same_locks_give_the_same_text() -> None:
    assert sbom() == sbom()
