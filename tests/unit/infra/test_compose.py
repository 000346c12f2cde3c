"""The compose file, as far as it can be judged without a Docker engine."""

import os
import re
import subprocess
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from app.worker.faust_app import ProfileApp
from infra import compose
from infra.compose import COMPOSE_FILE, FLINK_JOBS, SERVICE_CONTAINERS, STEPS, TOOLS, WORKER, environment
from infra.errors import InfraError
from infra.services import SERVICES
from infra.settings import InfraSettings
from infra.templates import render
from tests import stack

TEXT = COMPOSE_FILE.read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = FILE["services"]
VARIABLE = re.compile(r"\$\{(\w+):?-([^${}]*)\}")
# Of the service and its image; all others are the stack's.
ELSEWHERE = {"PROFILE_WEB_PORT", "PROFILE_ERASURE_KEY", "PROFILE_TOPIC_PREFIX", "USER_PROFILE_VERSION"}


def _substituted(text: str, values: dict[str, str]) -> str:
    while found := VARIABLE.search(text):  # the innermost first: one may be the default of another
        text = text[: found.start()] + values.get(found[1], found[2]) + text[found.end() :]
    return text


def test_each_native_service_has_its_containers() -> None:
    assert list(SERVICE_CONTAINERS) == list(SERVICES)
    named = {container for containers in SERVICE_CONTAINERS.values() for container in containers}
    assert named | {*TOOLS, *STEPS, FLINK_JOBS, WORKER} == set(CONTAINERS)


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_container_is_pinned_and_checked(name: str) -> None:
    container = CONTAINERS[name]
    tag = _substituted(container["image"], {}).rpartition(":")[2]
    assert re.match(r"v?\d+\.\d+", tag), f"{container['image']} is not pinned"
    if name in STEPS:
        assert container["healthcheck"] == {"disable": True}
    elif name != WORKER:  # whose image has one
        assert container["healthcheck"]["test"][0] == "CMD"
    assert container["restart"] == ("no" if name in STEPS else "unless-stopped")
    for needed, requirement in container.get("depends_on", {}).items():
        ends = needed in STEPS
        assert requirement["condition"] == ("service_completed_successfully" if ends else "service_healthy")


@pytest.mark.parametrize("name", CONTAINERS)
def test_each_container_has_its_bounds(name: str) -> None:
    container = CONTAINERS[name]
    assert container["init"] is True  # else a lost probe of PostgreSQL counts as a crash of its server
    assert "mem_limit" in container
    assert container["logging"]["options"]["max-size"]
    if name in {*STEPS, WORKER}:
        return
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
        context = COMPOSE_FILE.parent / container["build"]["context"]
        dockerfile = context / container["build"].get("dockerfile", "Dockerfile")
        for base in re.findall(r"^FROM (\S+)", dockerfile.read_text(), re.MULTILINE):
            assert re.search(r":v?\d+\.\d+", base), base
        for source in re.findall(
            r"^COPY (?:--chmod=\d+ )?([\w.][\w./-]*) ", dockerfile.read_text(), re.MULTILINE
        ):
            assert (context / source).exists(), source


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
    found = {name: default for name, default in VARIABLE.findall(TEXT) if name not in ELSEWHERE}
    quoted = values.pop("INFRA_POSTGRES_PASSWORD_IN_URL")
    assert found == values
    assert "${INFRA_POSTGRES_PASSWORD_IN_URL:-${INFRA_POSTGRES_PASSWORD:-" in TEXT
    assert quoted == values["INFRA_POSTGRES_PASSWORD"]


def test_the_offset_reaches_every_published_port() -> None:
    def published(offset: int) -> list[int]:
        file = yaml.safe_load(_substituted(TEXT, environment(InfraSettings(port_offset=offset))))
        ports = [port for container in file["services"].values() for port in container.get("ports", [])]
        return [int(port.split(":")[1]) for port in ports]

    # The service's own port is PROFILE_WEB_PORT, as natively.
    assert published(20_000) == [port if port == 8888 else port + 20_000 for port in published(0)]
    assert {5432, 5433, 5434, 7001, 7002, 7003, 9092, 8083, 8081, 8080, 5540, 8888} == set(published(0))


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


def test_flink_has_the_same_settings_as_natively() -> None:
    def flat(node: dict[str, Any], above: str = "") -> dict[str, str]:
        found: dict[str, str] = {}
        for name, value in node.items():
            found |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: str(value)}
        return found

    settings = InfraSettings()
    native = flat(
        yaml.safe_load(
            render(
                "flink.yaml",
                rpc_port=1,
                port=settings.flink_port,
                directory="/d",
                jobmanager_heap_mb=settings.flink_jobmanager_heap_mb,
                task_heap_mb=settings.flink_task_heap_mb,
                checkpoint_ms=settings.flink_checkpoint_ms,
                slots=settings.flink_task_slots,
                rocksdb_memory_mb=settings.flink_rocksdb_memory_mb,
            )
        )
    )
    text = _substituted(
        CONTAINERS["flink-jobmanager"]["environment"]["FLINK_PROPERTIES"], environment(settings)
    )
    contained = dict(line.split(": ", 1) for line in text.splitlines())
    own = {"bind-host", "address", "bind-address", "port", "dirs", "dir", "savepoint-dir", "all", "host"}
    shared = {name: value for name, value in native.items() if name.rpartition(".")[2] not in own}
    assert {name: contained.get(name) for name in shared} == shared


def test_the_service_has_no_rights_and_no_writable_files() -> None:
    for name in (*STEPS, FLINK_JOBS, WORKER):
        container = CONTAINERS[name]
        assert container["read_only"] is True
        assert container["cap_drop"] == ["ALL"]
        assert container["security_opt"] == ["no-new-privileges:true"]


def test_something_waits_for_each_step() -> None:
    """Else `docker compose up --wait` takes a step that has ended for one that failed."""
    awaited = {
        needed
        for name, container in CONTAINERS.items()
        if name not in STEPS
        for needed in container.get("depends_on", {})
    }
    assert set(STEPS) <= awaited


def test_a_worker_has_time_to_drain() -> None:
    assert int(CONTAINERS[WORKER]["stop_grace_period"].removesuffix("s")) > ProfileApp.stop_limit_s


def test_the_file_at_the_root_is_the_whole_system() -> None:
    root = yaml.safe_load((COMPOSE_FILE.parents[1] / "compose.yaml").read_text())
    assert root["name"] == FILE["name"] == compose.project(InfraSettings(port_offset=0))
    assert root["include"] == [{"path": "infra/compose.yaml"}]


def test_flinks_image_ends_as_its_user() -> None:
    text = (COMPOSE_FILE.parent / "containers" / "flink.Dockerfile").read_text()
    users = re.findall(r"^USER (\w+)$", text, re.MULTILINE)
    assert users == ["root", "flink"]
