"""Released versions have a commit, an entry in the changelog, and migrations that nobody edits afterwards."""

import re
import subprocess
from pathlib import Path

import pytest

from storage.postgres.migrator import DIRECTORY, migrations
from tests import releases as module
from tests.releases import ROOT, Release, available, releases, version_in_preparation

every_release = pytest.mark.parametrize("release", releases(), ids=lambda release: release.version)
MIGRATIONS = f"{DIRECTORY.relative_to(ROOT)}/"


def numbers(version: str) -> tuple[int, ...]:
    assert re.fullmatch(r"\d+\.\d+\.\d+", version), version
    return tuple(int(number) for number in version.split("."))


def test_versions_rise_to_the_one_in_preparation() -> None:
    versions = [numbers(release.version) for release in releases()]
    assert versions == sorted(set(versions))
    assert versions[-1] < numbers(version_in_preparation()), (
        f"{version_in_preparation()} is released: give pyproject.toml the next version."
    )


def test_the_changelog_has_each_version_the_newest_first() -> None:
    entries = re.findall(r"^## \[(\S+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert entries == [version_in_preparation(), *(release.version for release in reversed(releases()))]


@every_release
def test_the_commit_of_a_release_has_its_version_and_is_in_the_history(release: Release) -> None:
    available(release)
    assert f'\nversion = "{release.version}"\n' in release.file("pyproject.toml")
    history = ["git", "merge-base", "--is-ancestor", release.commit, "HEAD"]
    assert subprocess.run(history, cwd=ROOT, check=False).returncode == 0


@every_release
def test_a_released_migration_is_as_it_was(release: Release) -> None:
    released = available(release).files(MIGRATIONS.rstrip("/"))
    assert len(released) >= 10
    for path in released:
        assert (ROOT / path).read_text() == release.file(path), f"Restore {path}; a change is a new file."


def test_a_migration_needs_nothing_that_the_version_before_lacks() -> None:
    """Else that version could not run beside this one."""
    before = {path.removeprefix(MIGRATIONS).removesuffix(".sql") for path in _released_migrations()}
    for migration in migrations():
        assert migration.needs is None or migration.needs in before, migration.name


def _released_migrations() -> list[str]:
    return available(releases()[-1]).files(MIGRATIONS.rstrip("/"))


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_clone_without_the_commit_skips_and_ci_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"9\.9\.9 is not in this clone"):
        available(Release(version="9.9.9", commit="0" * 40))
    monkeypatch.setattr(module, "ROOT", tmp_path)  # an archive has no repository
    with pytest.raises(outcome, match=r"0\.1\.0 is not in this clone"):
        available(Release(version="0.1.0", commit="1" * 40))
