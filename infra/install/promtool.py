"""promtool, which checks and tries rules of Prometheus: for tests alone."""

import logging
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Final

from infra.errors import InfraError
from infra.install.apt import update_lists
from infra.install.artifacts import installed
from infra.service import run
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

_PACKAGE: Final = "prometheus"
_PROGRAM: Final = "usr/bin/promtool"


def find_promtool(settings: InfraSettings) -> str | None:
    """Of PATH, or what `promtool` put into the download cache."""
    kept = settings.cache_dir / f"promtool-{_fingerprint()}" / Path(_PROGRAM).name
    return shutil.which("promtool") or (str(kept) if kept.exists() else None)


def promtool(settings: InfraSettings) -> str | None:
    """Find it, or take it out of Debian's package; None on other systems.

    The package is unpacked and not installed: it would enable a server on port 9090 from the next boot on.
    """
    found = find_promtool(settings)
    if found is None and shutil.which("apt-get") is None:
        logger.info("promtool is not on PATH: alert rules will not be tried.")
        return None
    return found or str(installed(settings, "promtool", _fingerprint(), _unpack) / Path(_PROGRAM).name)


def _unpack(directory: Path) -> None:
    # Not below `directory`, which stays: the whole package is seven times as big.
    with tempfile.TemporaryDirectory(prefix="user-profile-promtool-") as scratch:
        download = ["apt-get", "download", "-q", _PACKAGE]
        try:
            run(download, purpose=f"Downloading {_PACKAGE}", cwd=Path(scratch))
        except InfraError:
            update_lists()
            run(download, purpose=f"Downloading {_PACKAGE}", cwd=Path(scratch))
        (package,) = Path(scratch).glob("*.deb")
        run(["dpkg-deb", "--extract", package.name, "."], purpose=f"Unpacking {_PACKAGE}", cwd=Path(scratch))
        shutil.copy2(Path(scratch) / _PROGRAM, directory)


def _fingerprint() -> str:
    """A shared cache may be seen by several systems."""
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    return "-".join([system.get("ID", "unknown"), system.get("VERSION_ID", "0"), platform.machine()])
