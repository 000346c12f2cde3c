"""What the auditors of packages say becomes a failure, an accepted weakness, or a loud line; never silence."""

import json
import subprocess
from datetime import date
from typing import Any

import pytest

from infra import audit
from infra.audit import Accepted, Report, not_audited, of_npm_audit, of_osv, of_pip_audit, verdict
from infra.install.jars import Jar
from tests.run.parts import CI

TODAY = date(2026, 1, 31)


def done(answer: object = None, *, stderr: str = "", code: int = 0) -> "subprocess.CompletedProcess[str]":
    stdout = "" if answer is None else json.dumps(answer)
    return subprocess.CompletedProcess([], code, stdout, stderr)


def pypi(*packages: dict[str, Any]) -> Report:
    return of_pip_audit("lock", done({"dependencies": list(packages), "fixes": []}))


WELL = {"name": "a", "version": "1.0", "vulns": []}
ILL = {
    "name": "b",
    "version": "2.0",
    "vulns": [{"id": "PYSEC-2026-1", "aliases": ["GHSA-x"], "fix_versions": ["2.1"], "description": "…"}],
}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3)"}


def failures(report: Report, **accepted: Accepted) -> list[str]:
    known = {name.replace("_", "-"): each for name, each in accepted.items()}
    return [line for line, fails in verdict([report], TODAY, known) if fails]


def test_what_is_known_fails_and_names_the_way_out() -> None:
    assert failures(pypi(WELL, ILL)) == ["FAIL  lock: b 2.0: PYSEC-2026-1, GHSA-x; upgrade to 2.1"]


def test_nothing_known_is_said_with_the_number_of_packages() -> None:
    report = pypi(WELL)
    assert list(verdict([report], TODAY, {})) == [("ok    lock: nothing is known of 1 packages", False)]
    assert not_audited([report]) is None


@pytest.mark.parametrize(
    ("until", "fails"), [(date(2026, 2, 1), False), (TODAY, False), (date(2026, 1, 30), True)]
)
def test_an_exception_ends(until: date, *, fails: bool) -> None:
    assert bool(failures(pypi(ILL), GHSA_x=Accepted(until, "it is not called"))) is fails


def test_packages_that_the_service_does_not_know_are_no_success() -> None:
    # So answers a mirror of PyPI without the service; pip-audit's exit code is 0 then.
    report = pypi(SKIPPED, SKIPPED)
    assert list(verdict([report], TODAY, {})) == []
    told = not_audited([report])
    assert told is not None
    assert told.startswith("!!!!  NOT AUDITED")
    assert "lock (2 of 2 packages" in told


def test_some_that_are_not_known_do_not_hide_the_others() -> None:
    report = pypi(SKIPPED, ILL)
    assert len(failures(report)) == 1
    assert not_audited([report]) is not None


def test_no_way_to_pypi_is_a_loud_line() -> None:
    trace = "Traceback …\nrequests.exceptions.ConnectionError: HTTPSConnectionPool(host='h', port=443)\n"
    report = of_pip_audit("lock", done(stderr=trace, code=1))
    assert failures(report) == []
    assert not_audited([report]) is not None


def test_a_lock_that_cannot_be_read_fails() -> None:
    wrong = "ERROR:pip_audit._cli:requirement foo does not contain a hash"
    assert failures(of_pip_audit("lock", done(stderr=wrong, code=1))) == [
        f"FAIL  lock: the audit itself failed: {wrong}"
    ]


NPM = {
    "name": "left",
    "severity": "high",
    "range": "<2.0.0",
    "via": [{"url": "https://advisories.invalid/GHSA-y", "title": "…"}],
    "fixAvailable": True,
}


def test_npm() -> None:
    well = {"vulnerabilities": {}, "metadata": {"dependencies": {"total": 7}}}
    report = of_npm_audit("ui", done(well))
    assert list(verdict([report], TODAY, {})) == [("ok    ui: nothing is known of 7 packages", False)]

    by_left = {**NPM, "name": "pad", "via": ["left"], "fixAvailable": False}
    ill = of_npm_audit("ui", done({"vulnerabilities": {"left": NPM, "pad": by_left}}, code=1))
    assert failures(ill) == [
        "FAIL  ui: left <2.0.0: GHSA-y; `npm audit fix` knows a version",
        "FAIL  ui: pad <2.0.0: by left; no version mends it",
    ]

    away = of_npm_audit("ui", done({"message": "405 Method Not Allowed - POST", "error": {}}, code=1))
    assert failures(away) == []
    assert not_audited([away]) is not None

    ours = {"error": {"code": "ENOLOCK", "summary": "This command requires an existing lockfile."}}
    assert len(failures(of_npm_audit("ui", done(ours, code=1)))) == 1


@pytest.mark.parametrize(
    ("report", "strict", "code"),
    [
        (pypi(WELL), True, 0),
        (pypi(ILL), False, 1),
        (pypi(SKIPPED), False, 0),
        (pypi(SKIPPED), True, 1),
    ],
)
def test_the_exit_code(
    report: Report,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    strict: bool,
) -> None:
    monkeypatch.setattr(audit, "reports", lambda: [report])
    assert audit.main(["--strict"] if strict else []) == code
    assert capsys.readouterr().out


def test_an_auditor_that_hangs_or_is_missing_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(audit, "_LIMIT_S", 0.05)
    assert audit._asked("x", ["sleep", "30"], tmp_path) == "no answer within 0.05 s"
    assert audit._asked("x", ["no-such-auditor"], tmp_path) == "no-such-auditor is not installed"


def test_ci_asks_after_the_tests() -> None:
    assert "test ARGS=--ci" in (audit._ROOT / ".ci/run").read_text()
    asked = [stage for stage in CI if any(part.name == "audit" for part in stage.parts)]
    assert asked == [CI[-1]]
    assert "infra.audit" in (audit._ROOT / "Makefile").read_text()


def test_jars_are_judged_by_their_coordinates() -> None:
    jars = [
        Jar(folder="kafka", group="g", artifact=name, version="1", classifier="", sha256="0" * 64)
        for name in "ab"
    ]
    report = of_osv("jars", jars, {"results": [{}, {"vulns": [{"id": "GHSA-y"}]}]})
    assert report.judged == 2
    assert failures(report) == ["FAIL  jars: g:b:1: GHSA-y; see osv.dev for a version"]
    assert not_audited([of_osv("jars", jars, {"results": [{}]})]) is not None


def test_every_lock_file_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_asked", lambda *_: "no network")
    monkeypatch.setattr(audit, "_OSV", "https://127.0.0.1:1/")
    assert {report.of for report in audit.reports()} == {
        "requirements.lock",
        "infra/flink-requirements.txt",
        "load/k6",
        "web/ui",
        "docs",
        "infra/install/jars.lock",
    }
