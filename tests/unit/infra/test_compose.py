"""The compose file, as far as it can be judged without a Docker engine."""

import os
import re
import subprocess
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from infra import compose
from infra.compose import COMPOSE_FILE, SERVICE_CONTAINERS, TOOLS, environment
from infra.errors import InfraError
from infra.services import SERVICES
from infra.settings import InfraSettings
from tests import stack

TEXT = COMPOSE_FILE.read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = FILE["services"]
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def _substituted(text: str, values: dict[str, str]) -> str:
    return VARIABLE.sub(lambda match: values.get(match[1], match[2]), text)


def test_each_native_service_has_its_containers() -> None:
    assert list(SERVICE_CONTAINERS) == list(SERVICES)
    named = {container for containers in SERVICE_CONTAINERS.values() for container in containers}
    assert named | set(TOOLS) == set(CONTAINERS)


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_container_is_pinned_and_checked(name: str) -> None:
    container = CONTAINERS[name]
    tag = container["image"].rpartition(":")[2]
    assert re.match(r"v?\d+\.\d+", tag), f"{container['image']} is not pinned"
    assert container["healthcheck"]["test"][0] == "CMD"
    assert container["restart"] == "unless-stopped"
    for requirement in container.get("depends_on", {}).values():
        assert requirement["condition"] == "service_healthy"


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_container_has_its_bounds(name: str) -> None:
    container = CONTAINERS[name]
    assert container["init"] is True  # else a lost probe of PostgreSQL counts as a crash of its server
    assert "mem_limit" in container
    assert container["logging"]["options"]["max-size"]
    probe = container["healthcheck"]
    assert int(probe["interval"].removesuffix("s")) >= 10
    assert probe["start_period"]
    assert ".sh" not in str(probe["test"]), "a JVM for each probe"


def test_user_interfaces_are_asked_for() -> None:
    assert {name for name, container in CONTAINERS.items() if container.get("profiles")} == set(TOOLS)


def test_tests_never_name_the_project_of_a_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "")
    for name in environment(settings := InfraSettings(port_offset=0)):
        monkeypatch.setenv(name, "")  # put back afterwards

    class Compose:
        def __init__(self, **_: Any) -> None:
            pass

        def start(self) -> None:
            started.append(os.environ["COMPOSE_PROJECT_NAME"])

    started: list[str] = []
    monkeypatch.setattr(stack, "DockerCompose", Compose)
    stack.TestStack(settings)._start_containers(["redis"])
    assert started == ["user-profile-tests"]
    assert started != [compose.project(settings)]


@pytest.mark.parametrize("name", CONTAINERS)
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    container = CONTAINERS[name]
    assert container.get("network_mode") != "host"
    for port in container.get("ports", []):
        assert port.startswith("127.0.0.1:"), port


def test_dockerfiles_are_there_and_pinned() -> None:
    for container in CONTAINERS.values():
        if "build" not in container:
            continue
        dockerfile = COMPOSE_FILE.parent / container["build"]["dockerfile"]
        for base in re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE):
            assert re.search(r":v?\d+\.\d+", base), base
        for source in re.findall(
            r"^COPY (?:--chmod=\d+ )?([\w.][\w./-]*) ", dockerfile.read_text(), re.MULTILINE
        ):
            assert (COMPOSE_FILE.parent / source).is_file(), source


def test_mounted_files_are_there() -> None:
    for container in CONTAINERS.values():
        for volume in container.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE_FILE.parent / source).is_file(), source
            else:
                assert source in FILE["volumes"]


def test_variables_and_their_defaults_agree_with_the_settings() -> None:
    values = environment(InfraSettings())
    found = dict(VARIABLE.findall(TEXT))
    assert found == values


def test_the_offset_reaches_every_published_port() -> None:
    def published(offset: int) -> list[int]:
        file = yaml.safe_load(_substituted(TEXT, environment(InfraSettings(port_offset=offset))))
        ports = [port for container in file["services"].values() for port in container.get("ports", [])]
        return [int(port.split(":")[1]) for port in ports]

    assert published(20_000) == [port + 20_000 for port in published(0)]
    assert {5432, 5433, 5434, 7001, 7002, 7003, 9092, 8083, 8081, 8080, 5540} == set(published(0))


def test_kafka_has_the_same_settings_as_natively() -> None:
    kafka = CONTAINERS["kafka"]["environment"]
    native = (COMPOSE_FILE.parent / "templates" / "kafka.properties").read_text()
    for name in ("auto.create.topics.enable", "log.retention.ms", "message.max.bytes"):
        value = re.search(rf"^{re.escape(name)}=(.*)$", native, re.MULTILINE)
        assert value is not None
        assert kafka["KAFKA_" + name.upper().replace(".", "_")] == value[1]


def test_postgres_has_the_same_settings_as_natively() -> None:
    def parse(path: str) -> dict[str, str]:
        lines = (COMPOSE_FILE.parent / path).read_text().splitlines()
        return dict(line.split(" = ", 1) for line in lines if " = " in line)

    native, contained = parse("templates/postgresql.conf"), parse("containers/postgresql.conf")
    for name in ("wal_level", "max_wal_senders", "max_replication_slots", "max_slot_wal_keep_size"):
        assert contained[name] == native[name]
    assert contained["shared_preload_libraries"] == native["shared_preload_libraries"]


@pytest.mark.parametrize(
    "script", sorted((COMPOSE_FILE.parent / "containers").glob("*.sh")), ids=lambda p: p.name
)
def test_the_scripts_parse(script: Any) -> None:
    parsed = subprocess.run(["bash", "-n", script], check=False, capture_output=True)
    assert (parsed.returncode, parsed.stderr) == (0, b"")


def test_without_an_engine_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose.shutil, "which", lambda program: None)
    with pytest.raises(InfraError, match=r"No Docker engine answers.*native"):
        compose.up(InfraSettings())


def test_a_password_with_any_sign_reaches_the_server() -> None:
    settings = InfraSettings(postgres_password="a@b/c:d")
    for dsn in (settings.postgres_dsn(), compose.primary_dsn_inside(settings)):
        assert unquote(urlsplit(dsn).password or "") == "a@b/c:d"


def test_what_a_program_in_a_container_prints_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise subprocess.CalledProcessError(1, "docker", output="[ERROR] no such table\n", stderr="")

    monkeypatch.setattr(compose, "_require_engine", lambda: None)
    monkeypatch.setattr(compose.subprocess, "run", failing)
    with pytest.raises(InfraError, match="no such table"):
        compose.execute(InfraSettings(), "flink-jobmanager", ["bash", "-c", "sql-client.sh"])


def test_flinks_image_ends_as_its_user() -> None:
    text = (COMPOSE_FILE.parent / "containers" / "flink.Dockerfile").read_text()
    users = re.findall(r"^USER (\w+)$", text, re.MULTILINE)
    assert users == ["root", "flink"]
