"""The stack in containers (`infra/compose.yaml`), on the same ports, for people who have Docker."""

import logging
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from infra.errors import InfraError
from infra.service import run
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

COMPOSE_FILE: Final = Path(__file__).with_name("compose.yaml")

# What each service of the native stack is in the compose file.
SERVICE_CONTAINERS: Final[Mapping[str, tuple[str, ...]]] = {
    "postgres": ("postgres-primary", "postgres-replica1", "postgres-replica2"),
    "redis": ("redis",),
    "kafka": ("kafka",),
    "connect": ("connect",),
    "flink": ("flink-jobmanager", "flink-taskmanager"),
}
# What runs on them: steps that end, what keeps the Flink jobs, and the service.
STEPS: Final = ("migrate", "topics", "connector")
FLINK_JOBS: Final = "flink-jobs"
WORKER: Final = "worker"
TOOLS: Final = ("kafka-ui", "redisinsight")

_SHOWN_OF_ERRORS: Final = 4_000
_KAFKA_UI_PORT: Final = 8080
_REDISINSIGHT_PORT: Final = 5540


def _password_in_url(settings: InfraSettings) -> str:
    return quote(settings.postgres_password, safe="")


def primary_dsn_inside(settings: InfraSettings) -> str:
    """The DSN with which another container reaches the primary."""
    user, password = (quote(part, safe="") for part in (settings.postgres_user, settings.postgres_password))
    return f"postgresql://{user}:{password}@postgres-primary:5432/{settings.postgres_database}"


def environment(settings: InfraSettings) -> dict[str, str]:
    """The variables of the compose file; its defaults are those of the default settings."""
    return {
        "INFRA_POSTGRES_USER": settings.postgres_user,
        "INFRA_POSTGRES_PASSWORD": settings.postgres_password,
        "INFRA_POSTGRES_PASSWORD_IN_URL": _password_in_url(settings),
        "INFRA_POSTGRES_CDC_PASSWORD": settings.postgres_login("cdc")[1],
        "INFRA_POSTGRES_DATABASE": settings.postgres_database,
        "INFRA_POSTGRES_MAX_CONNECTIONS": str(settings.postgres_max_connections),
        "INFRA_POSTGRES_SHARED_BUFFERS_MB": str(settings.postgres_shared_buffers_mb),
        "INFRA_POSTGRES_PRIMARY_PORT": str(settings.postgres_ports[0]),
        "INFRA_POSTGRES_REPLICA1_PORT": str(settings.postgres_ports[1]),
        "INFRA_POSTGRES_REPLICA2_PORT": str(settings.postgres_ports[2]),
        "INFRA_REDIS_PORT_1": str(settings.redis_ports[0]),
        "INFRA_REDIS_PORT_2": str(settings.redis_ports[1]),
        "INFRA_REDIS_PORT_3": str(settings.redis_ports[2]),
        "INFRA_REDIS_MAX_MEMORY_MB": str(settings.redis_max_memory_mb),
        "INFRA_KAFKA_PORT": str(settings.kafka_port),
        "INFRA_KAFKA_HEAP_MB": str(settings.kafka_heap_mb),
        "INFRA_CONNECT_PORT": str(settings.connect_port),
        "INFRA_CONNECT_HEAP_MB": str(settings.connect_heap_mb),
        "INFRA_FLINK_PORT": str(settings.flink_port),
        "INFRA_FLINK_JOBMANAGER_HEAP_MB": str(settings.flink_jobmanager_heap_mb),
        "INFRA_FLINK_TASK_HEAP_MB": str(settings.flink_task_heap_mb),
        "INFRA_FLINK_TASK_SLOTS": str(settings.flink_task_slots),
        "INFRA_FLINK_CHECKPOINT_MS": str(settings.flink_checkpoint_ms),
        "INFRA_FLINK_ACCOUNT_WAIT_S": str(settings.flink_account_wait_s),
        "INFRA_FLINK_PHONE_REGION": settings.flink_phone_region,
        "INFRA_FLINK_ROCKSDB_MEMORY_MB": str(settings.flink_rocksdb_memory_mb),
        "INFRA_UI_PASSWORD": settings.ui_password,
        "INFRA_KAFKA_UI_PORT": str(_KAFKA_UI_PORT + settings.port_offset),
        "INFRA_REDISINSIGHT_PORT": str(_REDISINSIGHT_PORT + settings.port_offset),
    }


def up(settings: InfraSettings, names: Sequence[str] = ()) -> list[str]:
    """Build, start and await the named services; if none is named, the whole system with the service itself.

    The two user interfaces come with COMPOSE_PROFILES=tools.
    """
    _require_engine()
    logger.info("Building the images; the first time takes minutes …")
    _compose(settings, "build", *_containers(names))
    if not names:
        _compose(settings, "up", "--detach", "--wait")
    else:
        _compose(settings, "up", "--detach", "--wait", *_containers(names))
    if _tools():
        logger.info("Kafka UI: http://127.0.0.1:%d, user admin", _KAFKA_UI_PORT + settings.port_offset)
        logger.info("RedisInsight: http://127.0.0.1:%d", _REDISINSIGHT_PORT + settings.port_offset)
    return [*(names or (*SERVICE_CONTAINERS, WORKER))]


def _tools() -> Sequence[str]:
    return TOOLS if "tools" in os.environ.get("COMPOSE_PROFILES", "").split(",") else ()


def deploy(settings: InfraSettings, *, topic_prefix: str = "", anew: bool = False) -> None:
    """Upgrade the running Flink jobs to the SQL of this checkout; what it did is printed."""
    _compose(settings, "build", FLINK_JOBS)
    arguments = [f"--topic-prefix={topic_prefix}", "deploy", *(["--anew"] if anew else [])]
    _compose(settings, "run", "--rm", "--no-deps", FLINK_JOBS, *arguments)
    _compose(
        settings, "up", "--detach", "--no-deps", FLINK_JOBS
    )  # which keeps them by the same SQL from now on


def down(settings: InfraSettings, names: Sequence[str] = ()) -> None:
    """Stop the containers; the volumes keep the data."""
    _compose(settings, *(("stop", *_containers(names)) if names else ("down",)))


def reset(settings: InfraSettings, names: Sequence[str] = ()) -> None:
    """Remove the containers and their data."""
    if names:
        raise InfraError("With containers, reset removes the data of all services: name none.")
    _compose(settings, "down", "--volumes", "--remove-orphans")


def show(settings: InfraSettings, *arguments: str) -> None:
    """Run a compose command that prints (`ps`, `logs`) on this terminal."""
    _require_engine()
    subprocess.run(
        [*_command(settings), *arguments], check=False, env={**os.environ, **environment(settings)}
    )


def execute(
    settings: InfraSettings, container: str, argv: Sequence[str], *, stdin: str = "", timeout_s: float = 60
) -> str:
    """Run a program in a running container and return what it printed. Raises InfraError if it fails."""
    _require_engine()
    command = [*_command(settings), "exec", "-T", container, *argv]
    try:
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            input=stdin,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env={**os.environ, **environment(settings)},
        )
    except subprocess.CalledProcessError as error:
        # Flink's SQL client writes its errors to its output.
        output = "\n".join(filter(None, [error.stdout.strip(), error.stderr.strip()]))[-_SHOWN_OF_ERRORS:]
        raise InfraError(f"{argv[0]} failed in the container {container}: {output}") from error
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"{argv[0]} did not end within {timeout_s:.0f} s in {container}.") from error
    return done.stdout


def worker_key(settings: InfraSettings) -> str:
    """The API key that the first start of the worker's container made."""
    return execute(settings, WORKER, ["python", "-m", "app", "keys", "show"]).strip()


def _containers(names: Sequence[str]) -> list[str]:
    for name in names:
        if name not in SERVICE_CONTAINERS:
            raise InfraError(f"There is no service {name!r}: choose from {', '.join(SERVICE_CONTAINERS)}.")
    return [container for name in names for container in SERVICE_CONTAINERS[name]]


def project(settings: InfraSettings) -> str:
    """The name under which Docker keeps the containers and volumes of the stack on these ports."""
    return "user-profile" + (f"-{settings.port_offset}" if settings.port_offset else "")


def _command(settings: InfraSettings) -> list[str]:
    named = ["--env-file", ".env"] if Path(".env").exists() else []
    return ["docker", "compose", "--project-name", project(settings), *named, "--file", str(COMPOSE_FILE)]


def _compose(settings: InfraSettings, *arguments: str) -> None:
    _require_engine()
    # On this terminal, since the first build takes minutes.
    done = subprocess.run(
        [*_command(settings), *arguments], check=False, env={**os.environ, **environment(settings)}
    )
    if done.returncode != 0:
        raise InfraError(
            f"docker compose {arguments[0]} failed (exit code {done.returncode}); its last lines say why. "
            f"`docker compose -p {project(settings)} logs` has those of the containers."
        )


def _require_engine() -> None:
    if shutil.which("docker") is not None:
        try:
            run(["docker", "info"], purpose="Asking Docker", timeout_s=20)
            run(["docker", "compose", "version"], purpose="Asking for Compose version 2", timeout_s=20)
        except InfraError as error:
            reason = str(error).splitlines()[-1]
        else:
            return
    else:
        reason = "there is no program named docker"
    raise InfraError(
        f"No Docker engine answers ({reason}): start or install Docker Engine with the compose plugin, "
        "or, on Debian, use the native stack (STACK=native)."
    )
