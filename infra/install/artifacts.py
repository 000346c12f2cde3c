"""Jars and wheels in the shared download cache.

A directory of the cache appears by one rename when it is complete, under a name that holds the hash of
what was asked for: a killed download leaves nothing that could be taken for an installation.
"""

import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from infra.errors import InfraError
from infra.install.apt import ensure_programs
from infra.install.jars import verify
from infra.locking import file_lock
from infra.service import run
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

POM = Path(__file__).parents[1] / "pom.xml"
PROFILES = ("kafka", "connect", "debezium", "flink-connector", "flink-gateway")
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"


def installed(settings: InfraSettings, name: str, fingerprint: str, build: Callable[[Path], None]) -> Path:
    """The directory `name-fingerprint` of the cache, made by `build(empty directory)` if it is not there."""
    target = settings.cache_dir / f"{name}-{fingerprint}"
    if target.is_dir():
        return target
    with file_lock(settings.cache_dir / f"{name}.lock"):
        if target.is_dir():
            return target
        started = time.monotonic()
        logger.info("Installing %s …", name)
        scratch = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=settings.cache_dir))
        try:
            scratch.chmod(0o755)
            build(scratch)
            scratch.rename(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        logger.info("Installed %s in %.0f s", name, time.monotonic() - started)
    return target


def pom_fingerprint() -> str:
    """What the names of jars' directories end with."""
    return hashlib.sha256(POM.read_bytes()).hexdigest()[:12]


def maven_jars(settings: InfraSettings, profile: str, *, verified: bool = True) -> Path:
    """The jars of one profile of the pinned pom, with everything that they need at run time.

    They are those of the lock file, byte for byte; `verified` false is for who makes that file.
    """
    fingerprint = pom_fingerprint()
    target = settings.cache_dir / f"{profile}-jars-{fingerprint}"
    if target.is_dir():
        return target
    ensure_programs(settings, {"java": "openjdk-17-jdk-headless", "mvn": "maven"})

    def build(directory: Path) -> None:
        argv = [
            "mvn",
            "-B",
            "-C",
            "-ntp",
            "-q",
            "-f",
            str(POM),
            "-P",
            profile,
            _COPY,
            "-DincludeScope=runtime",
        ]
        # Maven's local repository is not safe for two writers.
        with file_lock(settings.cache_dir / "maven.lock"):
            run([*argv, f"-DoutputDirectory={directory}"], purpose=f"Downloading the jars of {profile}")
        if not any(directory.glob("*.jar")):
            raise InfraError(f"Maven copied no jar for {profile}: is the profile missing from {POM.name}?")
        if verified:
            verify(directory, profile)

    return installed(settings, f"{profile}-jars", fingerprint, build)


def pip_target(settings: InfraSettings, name: str, requirements: Path) -> Path:
    """The packages of a hashed requirements file in a directory of their own, without their dependencies."""

    def build(directory: Path) -> None:
        run(
            [
                *[sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"],
                *["--no-cache-dir", "--no-compile", "--disable-pip-version-check"],
                *["--target", str(directory), "-r", str(requirements)],
            ],
            purpose=f"Downloading {name} from PyPI",
            environment={**os.environ, "PIP_NO_INPUT": "1"},
        )

    fingerprint = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    return installed(settings, name, fingerprint, build)
