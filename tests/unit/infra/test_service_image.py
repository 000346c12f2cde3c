"""The image of the service, as far as it can be judged without a Docker engine."""

import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from app.__main__ import _parser
from app.config.settings import Settings

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text()
STAGES = re.split(r"(?m)^(?=FROM )", TEXT)[1:]
LAST = STAGES[-1]
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def _pins(path: Path) -> dict[str, set[str]]:
    """The hashes of each pinned package, by its line."""
    found: dict[str, set[str]] = {}
    name = ""
    for line in path.read_text().splitlines():
        if re.match(r"[a-z0-9]", line):
            name = line.rstrip(" \\")
            found[name] = set()
        elif "--hash=" in line:
            found[name].add(line.strip(" \\"))
    return found


def test_what_is_installed_is_locked_by_hash_as_for_development() -> None:
    image, all_of_them = _pins(ROOT / "requirements-image.lock"), _pins(ROOT / "requirements.lock")
    assert image
    assert all(image.values())
    assert {name: all_of_them.get(name) for name in image} == image
    assert "--require-hashes" in TEXT
    assert "--no-deps" in TEXT


def test_what_is_installed_is_what_the_service_needs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["otel"]
    names = {re.split(r"[\[<>=~ ]", each)[0].lower() for each in needed}
    pinned = {line.partition("==")[0] for line in _pins(ROOT / "requirements-image.lock")}
    assert names <= pinned
    assert not pinned & {"pytest", "playwright", "ruff", "mypy", "testcontainers"}


def test_no_stage_is_of_one_architecture() -> None:
    assert not re.search(r"amd64|x86_64|arm64|aarch64", re.sub(r"(?m)^ *#.*", "", TEXT))


def test_the_user_has_no_rights() -> None:
    user = re.findall(r"(?m)^USER (.+)$", LAST)
    assert user == ["10001:10001"]  # a number, so that Kubernetes sees that it is not root
    assert "chown" not in LAST


def test_signals_reach_the_worker() -> None:
    """A shell between would not pass SIGTERM on, and nothing would be drained."""
    assert re.search(r'(?m)^ENTRYPOINT \["python", "-m", "app"\]$', LAST)
    assert re.search(r'(?m)^CMD \["worker"\]$', LAST)


@pytest.mark.parametrize("command", ["worker", "migrate", "topics", "connector apply", "keys list", "doctor"])
def test_the_commands_that_deployments_use_are_there(command: str) -> None:
    assert _parser().parse_args(shlex.split(command)).run


def test_the_probe_starts_no_interpreter() -> None:
    (probe,) = re.findall(r"HEALTHCHECK .*\n +CMD (.*)", LAST)
    assert "python" not in probe
    assert f"PROFILE_WEB_PORT:-{Settings.model_fields['web_port'].default}" in probe
    assert "/healthz" in probe


def test_the_image_tells_its_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"ARG VERSION={version}\n" in LAST
    assert 'org.opencontainers.image.version="${VERSION}"' in LAST
    compose = (ROOT / "infra" / "compose.yaml").read_text()
    assert set(re.findall(r"USER_PROFILE_VERSION:-([\d.]+)", compose)) == {version}


def test_no_secret_and_no_test_gets_into_the_build() -> None:
    """All is left out but what is named."""
    assert IGNORED[IGNORED.index("*") - 1].startswith("#")
    named = {line.strip("!/") for line in IGNORED if line.startswith("!")}
    copied = {
        source.split("/")[0]
        for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", TEXT)
        for source in line.split()[:-1]
    }
    assert copied == named
    assert not named & {"tests", "load", ".git", ".env", ".venv"}
    assert any(fnmatch("web/.env", line.replace("**/", "*/")) for line in IGNORED)
