"""What is installed is what was locked: exact versions, each with the hash of its content, from registries alone."""

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LOCK = (ROOT / "requirements.lock").read_text()
NPM_LOCKS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "*package-lock.json"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
)


_LOCKED = re.compile(r"[A-Za-z0-9._-]+(?:\[[^]]+\])?==[^\s;]+(?:\s*;.*?)?\s+--hash=sha256:[0-9a-f]{64}")


def entries() -> list[str]:
    """The requirements, each on a line."""
    lines = LOCK.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def test_every_package_has_one_version_and_hashes() -> None:
    assert len(entries()) > 50
    for line in entries():
        assert re.match(
            r"[A-Za-z0-9._-]+(?:\[[^]]+\])?==[^\s;]+(?:\s*;[^-]*?)?\s+--hash=sha256:[0-9a-f]{64}", line
        ), line
        assert "://" not in line
        assert " @ " not in line


def test_every_dependency_is_locked() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(each for group in project["optional-dependencies"].values() for each in group),
    ]
    locked = {_plain(line) for line in entries()}
    # An extra may take in another one of the project itself.
    assert {_plain(each) for each in wanted} - {_plain(project["name"])} <= locked


def _plain(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.mark.parametrize("path", NPM_LOCKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_npm_package_has_a_hash(path: Path) -> None:
    packages = json.loads(path.read_text())["packages"]
    for name, package in packages.items():
        if name and not package.get("link"):
            assert package["integrity"].startswith("sha512-"), name
