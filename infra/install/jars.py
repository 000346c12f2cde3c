"""SHA-256 of every jar that Maven brings (`jars.lock`): checked after the download and before anything uses it.

A line is `sha256  folder  group:artifact:version[:classifier]`. `python -m infra lock-jars` writes the file again after
infra/pom.xml or flink/functions/pom.xml changed; look at what changed before you commit it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.errors import InfraError

LOCK: Final = Path(__file__).with_name("jars.lock")
_HEADER: Final = "# Made by `python -m infra lock-jars`.\n"


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Jar:
    """One artifact in one folder of jars."""

    folder: str
    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str

    @property
    def file_name(self) -> str:
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{tail}.jar"

    @property
    def coordinates(self) -> str:
        told = f"{self.group}:{self.artifact}:{self.version}"
        return f"{told}:{self.classifier}" if self.classifier else told


def locked(lock: Path = LOCK) -> list[Jar]:
    """All jars of the lock file. Raises InfraError where it can't be read."""
    found = []
    for number, line in enumerate(lock.read_text().splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            sha256, folder, coordinates = line.split()
            group, artifact, version, *classifier = coordinates.split(":")
        except ValueError as error:
            raise InfraError(
                f"{lock.name}, line {number}, is not `sha256  folder  group:artifact:version`."
            ) from error
        found.append(
            Jar(
                folder=folder,
                group=group,
                artifact=artifact,
                version=version,
                classifier="".join(classifier),
                sha256=sha256,
            )
        )
    return found


def verify(directory: Path, folder: str, lock: Path = LOCK) -> None:
    """Raise InfraError unless the directory holds the jars of the lock file, byte for byte, and no other."""
    wanted = {jar.file_name: jar.sha256 for jar in locked(lock) if jar.folder == folder}
    there = {path.name: _sha256(path) for path in directory.glob("*.jar")}
    wrong = sorted(name for name in wanted.keys() & there.keys() if wanted[name] != there[name])
    reasons = [
        (f"{', '.join(wrong)}: another content than when it was locked", wrong),
        (f"{', '.join(sorted(there.keys() - wanted.keys()))}: not locked", there.keys() - wanted.keys()),
        (f"{', '.join(sorted(wanted.keys() - there.keys()))}: missing", wanted.keys() - there.keys()),
    ]
    told = "; ".join(text for text, names in reasons if names)
    if told:
        raise InfraError(
            f"The jars of {folder} are not those of infra/install/{lock.name}, and are not used. {told}. After a "
            "change of a pom: `python -m infra lock-jars`. Else the registry, or what stands between, gives something "
            "else: find out what before you go on."
        )


def lock_jars(directories: Mapping[str, Path], repository: Path, lock: Path = LOCK) -> int:
    """Write the lock file from folders of jars; returns how many. `repository`: Maven's, where coordinates stand."""
    jars = sorted(
        jar for folder, directory in directories.items() for jar in _jars(folder, directory, repository)
    )
    lock.write_text(_HEADER + "".join(f"{jar.sha256}  {jar.folder}  {jar.coordinates}\n" for jar in jars))
    return len(jars)


def _jars(folder: str, directory: Path, repository: Path) -> Iterator[Jar]:
    for path in sorted(directory.glob("*.jar")):
        sha256 = _sha256(path)
        source = next((found for found in repository.rglob(path.name) if _sha256(found) == sha256), None)
        if source is None:
            raise InfraError(f"{path.name} is not in {repository}: install again, then lock.")
        version, artifact = source.parent, source.parent.parent
        classifier = path.stem.removeprefix(f"{artifact.name}-{version.name}").removeprefix("-")
        yield Jar(
            folder=folder,
            group=".".join(artifact.parent.relative_to(repository).parts),
            artifact=artifact.name,
            version=version.name,
            classifier=classifier,
            sha256=sha256,
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
