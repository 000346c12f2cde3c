"""`python -m infra sbom`: what the service and its local stack are made of, as CycloneDX 1.5 in JSON.

Made from the lock files alone, so it needs no network, and the same lock files give the same text. Images of containers
and Debian's packages are not in it.
"""

import base64
import json
import re
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from infra.install.jars import locked

ROOT: Final = Path(__file__).parents[1]
PYTHON: Final = ("requirements.lock", "infra/flink-requirements.txt")
NPM: Final = ("web/ui", "docs", "load/k6")
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)
_SHA256: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_ALGORITHMS: Final = {"sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
_NAMESPACE: Final = uuid.UUID("6f1f9f0e-2b1b-5c59-9d0e-7c1b8f6b8d3e")

Component = dict[str, Any]


def sbom(root: Path = ROOT) -> str:
    """The document. Raises InfraError or OSError where a lock file can't be read."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    found: dict[str, Component] = {}
    for component in (*_python(root), *_npm(root), *_java()):
        known = found.setdefault(component["bom-ref"], component)
        if known is not component:  # locked in two places
            known["hashes"] = _distinct([*known.get("hashes", []), *component.get("hashes", [])])
            known["properties"] = _distinct([*known["properties"], *component["properties"]])
    components = [found[ref] for ref in sorted(found)]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": project["name"],
                "name": project["name"],
                "version": project["version"],
            }
        },
        "components": components,
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(document, sort_keys=True))
    return json.dumps({**document, "serialNumber": f"urn:uuid:{serial}"}, indent=2) + "\n"


def _python(root: Path) -> Iterator[Component]:
    for lock in PYTHON:
        text = (root / lock).read_text()
        starts = [*_PINNED.finditer(text)]
        for found, following in zip(starts, [*starts[1:], None], strict=True):
            name, version = re.sub(r"[-_.]+", "-", found[1]).lower(), found[2].rstrip("\\;")
            lines = text[found.start() : following.start() if following is not None else len(text)]
            hashes = [("SHA-256", content) for content in _SHA256.findall(lines)]
            yield _component(f"pkg:pypi/{name}@{version}", name, version, lock, hashes)


def _npm(root: Path) -> Iterator[Component]:
    for project in NPM:
        lock = f"{project}/package-lock.json"
        for path, told in json.loads((root / lock).read_text())["packages"].items():
            if not path or "version" not in told:
                continue
            name = path.rpartition("node_modules/")[2]
            algorithm, _, digest = told.get("integrity", "").partition("-")
            hashes = [(_ALGORITHMS[algorithm], base64.b64decode(digest).hex())] if digest else []
            purl = f"pkg:npm/{name.replace('@', '%40')}@{told['version']}"
            yield _component(purl, name, told["version"], lock, hashes)


def _java() -> Iterator[Component]:
    for jar in locked():
        tail = f"?classifier={jar.classifier}" if jar.classifier else ""
        purl = f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}{tail}"
        found = _component(
            purl, jar.artifact, jar.version, "infra/install/jars.lock", [("SHA-256", jar.sha256)]
        )
        yield {**found, "group": jar.group}


def _component(purl: str, name: str, version: str, lock: str, hashes: list[tuple[str, str]]) -> Component:
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [{"alg": algorithm, "content": content} for algorithm, content in hashes],
        "properties": [{"name": "user-profile:locked-in", "value": lock}],
    }


def _distinct(entries: list[dict[str, str]]) -> list[dict[str, str]]:
    return [dict(entry) for entry in dict.fromkeys(tuple(sorted(each.items())) for each in entries)]
