"""The jar of the functions that Flink's SQL calls (`flink/functions`), with `flink/contracts` in it.

It lies in the download cache under the hash of all that it is made of: a changed contract is another jar. Maven builds
the functions, with their tests, which so need neither Maven nor a network later; another contract alone needs no
compiler.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from infra.errors import InfraError
from infra.install.apt import ensure_programs
from infra.install.artifacts import installed
from infra.install.jars import verify
from infra.locking import file_lock
from infra.service import run
from infra.settings import InfraSettings

SQL_DIR: Final = Path(__file__).parents[2] / "flink"
JAR: Final = "source-functions.jar"
TEST_CLASSES: Final = "test-classes"
TEST_JARS: Final = "test-jars"
_IMAGE: Final = "maven:3.9.9-eclipse-temurin-17"  # as in infra/containers/flink.Dockerfile
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
# A JRE has no compiler: mvn alone would be found with it.
JDK: Final = {"javac": "openjdk-17-jdk-headless", "mvn": "maven"}


def functions_jar(settings: InfraSettings, sources: Path = SQL_DIR, *, verified: bool = True) -> Path:
    """The jar, built if it is not there yet. `sources`: the directory of `functions` and `contracts`.

    Its dependencies are those of the lock file, byte for byte; `verified` false is for who makes that file. Raises
    InfraError with what the compiler says.
    """
    name = f"source-functions-{fingerprint(sources)}"
    if (settings.cache_dir / name / JAR).exists():
        return settings.cache_dir / name / JAR
    classes = _classes(settings, sources, verified=verified)

    def build(directory: Path) -> None:
        for part in (TEST_JARS, TEST_CLASSES):
            shutil.copytree(classes / part, directory / part)
        _with_contracts(classes / JAR, sources / "contracts", directory / JAR)

    return installed(settings, "source-functions", fingerprint(sources), build) / JAR


def _with_contracts(jar: Path, contracts: Path, target: Path) -> None:
    """The jar with these contracts in place of its own; the same bytes for the same content."""
    with ZipFile(jar) as old, ZipFile(target, "w", ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if not entry.filename.startswith("contracts/"):
                new.writestr(entry, old.read(entry))
        for path in sorted(contracts.glob("*/*.json")):
            new.writestr(ZipInfo(f"contracts/{path.relative_to(contracts)}"), path.read_bytes(), ZIP_DEFLATED)


def _classes(settings: InfraSettings, sources: Path, *, verified: bool) -> Path:
    """The directory of what Maven builds, whatever the contracts are."""
    of_functions = fingerprint(sources, parts=("functions",))
    name = f"source-classes-{of_functions}"
    if (settings.cache_dir / name / JAR).exists():
        return settings.cache_dir / name
    maven = _maven(settings)

    def build(directory: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="user-profile-functions-") as scratch:
            for part in ("functions", "contracts"):
                shutil.copytree(sources / part, Path(scratch, part), ignore=shutil.ignore_patterns("target"))
            pom, built = Path(scratch, "functions", "pom.xml"), Path(scratch, "functions", "target")
            argv = [
                *maven(Path(scratch), directory),
                "-B",
                "-C",
                "-ntp",
                "-q",
                "-f",
                str(pom),
                "-DskipTests",
                "package",
                _COPY,
            ]
            argv += ["-DincludeScope=test", f"-DoutputDirectory={directory / TEST_JARS}"]
            # Maven's local repository is not safe for two writers.
            with file_lock(settings.cache_dir / "maven.lock"):
                run(argv, purpose="Building the functions of Flink's SQL")
            jars = [jar for jar in built.glob("source-functions-*.jar") if "original" not in jar.name]
            if len(jars) != 1:
                raise InfraError(f"Maven built {len(jars)} jars of flink/functions: expected one.")
            if verified:
                verify(directory / TEST_JARS, "functions")
            shutil.copy2(jars[0], directory / JAR)
            shutil.copytree(built / "test-classes", directory / TEST_CLASSES)

    return installed(settings, "source-classes", of_functions, build)


def _maven(settings: InfraSettings) -> Callable[[Path, Path], list[str]]:
    """The command that builds, of two directories that it has to reach; with Docker alone it runs in a container."""
    if all(map(shutil.which, JDK)) or shutil.which("docker") is None or shutil.which("apt-get") is not None:
        ensure_programs(settings, JDK)
        return lambda *_: ["mvn"]
    user = f"{os.getuid()}:{os.getgid()}"

    def in_container(*directories: Path) -> list[str]:
        mounts = [part for each in directories for part in ("--volume", f"{each}:{each}")]
        command = ["docker", "run", "--rm", "--user", user, *mounts, _IMAGE, "mvn"]
        return [*command, "-Dmaven.repo.local=/tmp/maven"]

    return in_container


def fingerprint(sources: Path = SQL_DIR, parts: tuple[str, ...] = ("functions", "contracts")) -> str:
    """A hash of all that the jar is made of, or of a part of it."""
    found = hashlib.sha256()
    for part in parts:
        for path in sorted((sources / part).rglob("*")):
            relative = path.relative_to(sources)
            if path.is_file() and "target" not in relative.parts and "examples" not in relative.parts:
                found.update(f"{relative}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]
