"""Debian packages. A package that starts a server of its own is kept from doing so.

Only what is missing is installed; on other systems the error says what has to be there.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.errors import InfraError
from infra.locking import file_lock
from infra.service import run
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_MAIN_CLUSTER = Path("/etc/postgresql-common/createcluster.d/user-profile.conf")
_OLDEST_POSTGRES = 15
_POSTGRES_LIB = Path("/usr/lib/postgresql")
_POSTGRES_SHARE = Path("/usr/share/postgresql")

_ELSEWHERE = (
    "On a system that is not Debian (or without root), either install Docker and use STACK=compose, or put "
    "PostgreSQL 15 or newer with pg_partman, redis-server 7, Java 17 and Maven on this machine with its own "
    "package manager, so that initdb, redis-server, redis-cli, java and mvn are on PATH."
)


def ensure_programs(settings: InfraSettings, programs: Mapping[str, str]) -> None:
    """Install the Debian package of each program (`{program: package}`) that is not on PATH."""
    missing = sorted({package for program, package in programs.items() if shutil.which(program) is None})
    if missing:
        _apt_install(settings, missing)
    for program, package in programs.items():
        if shutil.which(program) is None:
            raise InfraError(f"{program} is not on PATH, although the package {package} was installed.")


def postgres_bin(settings: InfraSettings) -> Path:
    """The directory of a PostgreSQL (15 or newer) that has pg_partman; installs one if there is none."""
    if (found := find_postgres_bin()) is not None:
        return found
    _require_apt(["postgresql", "postgresql-<version>-partman"])
    update_lists()
    depends = run(["apt-cache", "depends", "postgresql"], purpose="Looking up Debian's PostgreSQL version")
    match = re.search(r"Depends: postgresql-(\d+)", depends)
    if match is None:
        raise InfraError(f"apt-cache knows no package postgresql. {_ELSEWHERE}")
    version = match[1]
    _apt_install(settings, [f"postgresql-{version}", f"postgresql-{version}-partman"])
    if (found := find_postgres_bin()) is None:
        raise InfraError(f"No pg_partman for PostgreSQL {version} after installing it with apt-get.")
    return found


def find_postgres_bin() -> Path | None:
    """The newest installed PostgreSQL with pg_partman, of Debian's layout or of PATH."""
    versions = sorted(
        (p for p in _POSTGRES_LIB.glob("[0-9]*") if p.name.isdigit()), key=lambda p: -int(p.name)
    )
    for version in versions:
        control = _POSTGRES_SHARE / version.name / "extension" / "pg_partman.control"
        if (
            int(version.name) >= _OLDEST_POSTGRES
            and (version / "bin" / "initdb").exists()
            and control.exists()
        ):
            return version / "bin"
    initdb = shutil.which("initdb")
    if not versions and initdb is not None:
        return Path(initdb).resolve().parent
    return None


def _apt_install(settings: InfraSettings, packages: Sequence[str]) -> None:
    _require_apt(packages)
    with file_lock(settings.cache_dir / "apt.lock"), _no_servers_of_their_own():
        logger.info("Installing with apt-get: %s", " ".join(packages))
        install = [*_as_root(), "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        try:
            run(install, purpose="apt-get install", environment=environment)
        except InfraError:
            update_lists()
            run(install, purpose="apt-get install", environment=environment)


def update_lists() -> None:
    """What apt-get knows of packages, anew. Needs root, or sudo without a password."""
    run([*_as_root(), "apt-get", "update", "-qq"], purpose="apt-get update")


def _require_apt(packages: Sequence[str]) -> None:
    if shutil.which("apt-get") is None:
        raise InfraError(f"Missing here: {', '.join(packages)}. {_ELSEWHERE}")
    if os.geteuid() != 0 and not _sudo_works():
        raise InfraError(f"Missing here: run `sudo apt-get install {' '.join(packages)}` first. {_ELSEWHERE}")


def _sudo_works() -> bool:
    try:
        run(["sudo", "-n", "true"], purpose="sudo", timeout_s=10)
    except InfraError:
        return False
    return True


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


@contextmanager
def _no_servers_of_their_own() -> Iterator[None]:
    """Keep postgresql and redis-server from starting (now or at boot) a server that takes our ports.

    `policy-rc.d` is Debian's own way to say that; it is there only while we install. The main cluster of
    PostgreSQL (port 5432) is not made at all.
    """
    if os.geteuid() != 0:
        yield
        return
    _NO_MAIN_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
    if not _NO_MAIN_CLUSTER.exists():
        _NO_MAIN_CLUSTER.write_text("create_main_cluster = false\n")
    ours = not _POLICY.exists()
    if ours:
        _POLICY.write_text("#!/bin/sh\nexit 101\n")
        _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            _POLICY.unlink(missing_ok=True)
