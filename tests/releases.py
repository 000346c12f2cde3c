"""Released versions, and the code of one as processes beside this code.

`releases.toml` names their commits. A clone without them (shallow, or an archive) skips what needs one; with CI=true
that is a failure.
"""

import io
import os
import subprocess
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One version and the commit that its code is."""

    version: str
    commit: str

    def file(self, path: str) -> str:
        """The text of one of its files."""
        return _git("show", f"{self.commit}:{path}").decode()

    def files(self, directory: str) -> list[str]:
        """The paths of the files below a directory."""
        listed = _git("ls-tree", "-r", "--name-only", self.commit, f"{directory}/")
        return listed.decode().splitlines()

    def unpack(self, into: Path) -> Path:
        """Its whole tree, without history; returns the directory."""
        with tarfile.open(fileobj=io.BytesIO(_git("archive", self.commit))) as archive:
            archive.extractall(into, filter="data")
        return into


def releases() -> list[Release]:
    """All of them, the oldest first."""
    found = tomllib.loads((ROOT / "releases.toml").read_text())["release"]
    return [Release(version=each["version"], commit=each["commit"]) for each in found]


def version_in_preparation() -> str:
    """The version of pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def available(release: Release) -> Release:
    """The release, where this clone has its commit; skips the test, or fails in CI, where it does not."""
    try:
        _git("cat-file", "-e", f"{release.commit}^{{commit}}")
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        reason = (
            f"The commit of version {release.version} is not in this clone ({_words(error)}): "
            "`git fetch --unshallow` brings it."
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return release


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def _words(error: subprocess.CalledProcessError | FileNotFoundError) -> str:
    said = error.stderr.decode() if isinstance(error, subprocess.CalledProcessError) else str(error)
    return said.strip() or "git does not find it"
