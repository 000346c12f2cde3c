"""The native stack as a whole: services start side by side, each as soon as what it requires answers."""

import logging
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.errors import InfraError
from infra.locking import file_lock
from infra.process import memory_bytes
from infra.service import Service
from infra.services import SERVICES, select
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One line of `status`."""

    service: str
    process: str
    state: str
    port: int
    pid: int | None
    memory_bytes: int


def _lock_path(settings: InfraSettings) -> Path:
    return settings.data_root / f"stack-{settings.port_offset}.lock"


def install(settings: InfraSettings, names: Sequence[str] = ()) -> None:
    """Install the programs of the named services (all by default) without starting them."""
    services = select(settings, [*names])
    with ThreadPoolExecutor(max_workers=len(services)) as pool:
        _raise_all([pool.submit(service.install) for service in services])


def up(settings: InfraSettings, names: Sequence[str] = ()) -> list[Service]:
    """Install, start and await the named services and what they require; quick if they run.

    Returns the services in their order of starting. Raises InfraError with the reasons of all that failed;
    what has started then stays up, so that its log can be read and a second `up` goes on from there.
    """
    services = select(settings, [*names])
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with file_lock(_lock_path(settings)), ThreadPoolExecutor(max_workers=len(services)) as pool:
        started: dict[str, Future[None]] = {}
        for service in services:
            required = [started[name] for name in service.requires]
            started[service.name] = pool.submit(_bring_up, service, required)
        _raise_all(list(started.values()))
    return services


def _bring_up(service: Service, required: Sequence[Future[None]]) -> None:
    began = time.monotonic()
    if not service.running():
        service.install()
        for future in required:
            if future.exception() is not None:
                return  # its own error tells why
        began = time.monotonic()
        service.own_directory()
        service.configure()
        service.start()
    service.wait_ready()
    logger.info("%s is ready (%.1f s)", service.name, time.monotonic() - began)


def down(settings: InfraSettings, names: Sequence[str] = ()) -> None:
    """Stop the named services (all by default), those first that require others; data stays."""
    services = select(settings, [*names], with_required=False)
    with file_lock(_lock_path(settings)):
        for service in reversed(services):
            if service.stop():
                logger.info("%s stopped", service.name)


def reset(settings: InfraSettings, names: Sequence[str] = ()) -> None:
    """Stop the named services (all by default) and remove their data."""
    down(settings, names)
    for service in select(settings, [*names], with_required=False):
        shutil.rmtree(service.directory, ignore_errors=True)
        if service.directory.exists():
            raise InfraError(
                f"{service.directory} can't be removed: is it another user's? Remove it by hand."
            )


def status(settings: InfraSettings) -> list[ProcessStatus]:
    """What runs, where, and how much memory it holds."""
    lines = []
    for service in (kind(settings) for kind in SERVICES.values()):
        for process in service.processes():
            pid = process.pid()
            state = "running" if pid is not None else "died" if process.pid_file.exists() else "stopped"
            memory = 0 if pid is None else memory_bytes(pid)
            lines.append(
                ProcessStatus(
                    service=service.name,
                    process=process.name,
                    state=state,
                    port=process.port,
                    pid=pid,
                    memory_bytes=memory,
                )
            )
    return lines


def _raise_all(futures: Sequence[Future[None]]) -> None:
    errors = [error for future in futures if (error := future.exception()) is not None]
    for error in errors:
        if not isinstance(error, InfraError):
            raise error
    if errors:
        raise InfraError("\n\n".join(str(error) for error in errors)) from errors[0]
