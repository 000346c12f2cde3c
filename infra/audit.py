"""`python -m infra.audit`: known weaknesses of what is locked, as the advisory services of PyPI, npm and OSV tell.

The exit code is 1 where one is known, or where a lock file can't be read. A service that can't be asked is a loud line
and no failure, or no build would pass without it; with `--strict` it is one too.
"""

import argparse
import datetime
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from infra.errors import InfraError
from infra.install.jars import Jar, locked

_ROOT: Final = Path(__file__).parents[1]
_LIMIT_S: Final = 60.0
_NPM_PROJECTS: Final = ("load/k6", "web/ui", "docs")
_PYTHON_LOCKS: Final = ("requirements.lock", "infra/flink-requirements.txt")
_OSV: Final = "https://api.osv.dev/v1/querybatch"  # advisories about Maven's artifacts, GitHub's among them
# What pip-audit's words or traces have where its service did not answer; all else is its own failure.
_AWAY: Final = ("requests.exceptions.", "urllib3.exceptions.", "network may be blocking", "ServiceError")
# As npm's error codes: these are faults of the project, all others of the way to the registry.
_OURS: Final = frozenset({"ENOLOCK", "EUSAGE", "EJSONPARSE", "ENOAUDIT"})


class Accepted(NamedTuple):
    """A weakness that we live with: until when, and why it can't hurt here."""

    until: datetime.date
    reason: str


# By advisory, as the report names it (GHSA-…, PYSEC-…). After its date it fails again, and is looked at again.
ACCEPTED: Final[Mapping[str, Accepted]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One advisory about one locked package."""

    package: str
    ids: tuple[str, ...]
    way_out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one auditor told. `unasked`: why (some) packages were not judged; `broken`: why it could not work."""

    of: str
    known: tuple[Known, ...] = ()
    judged: int = 0
    unasked: str | None = None
    broken: str | None = None


def of_pip_audit(of: str, done: "subprocess.CompletedProcess[str]") -> Report:
    """Of `pip-audit -f json`."""
    answer = _json(done.stdout)
    if answer is None or "dependencies" not in answer:
        told = _last_line(done.stderr)
        away = any(word in done.stderr for word in _AWAY)
        return Report(of=of, unasked=told) if away else Report(of=of, broken=told)
    packages = answer["dependencies"]
    # A mirror without the service answers 404, which pip-audit takes for packages that nobody knows, and for success.
    skipped = [each for each in packages if "skip_reason" in each]
    known = tuple(
        Known(
            package=f"{each['name']} {each['version']}",
            ids=(found["id"], *found.get("aliases", ())),
            way_out=f"upgrade to {' or '.join(found['fix_versions'])}"
            if found.get("fix_versions")
            else "no version mends it",
        )
        for each in packages
        for found in each.get("vulns", ())
    )
    unasked = f"{len(skipped)} of {len(packages)} packages, {skipped[0]['skip_reason']}" if skipped else None
    return Report(of=of, known=known, judged=len(packages) - len(skipped), unasked=unasked)


def of_npm_audit(of: str, done: "subprocess.CompletedProcess[str]") -> Report:
    """Of `npm audit --json`."""
    answer = _json(done.stdout)
    if answer is not None and "vulnerabilities" in answer:
        known = tuple(_of_npm(each) for each in answer["vulnerabilities"].values())
        judged = answer.get("metadata", {}).get("dependencies", {}).get("total", 0)
        return Report(of=of, known=known, judged=judged)
    if answer is None:
        return Report(of=of, broken=_last_line(done.stderr))
    error = answer.get("error") or {}
    told = str(answer.get("message") or error.get("summary") or "no reason given").splitlines()[0]
    return Report(of=of, broken=told) if error.get("code") in _OURS else Report(of=of, unasked=told)


def of_osv(of: str, jars: Sequence[Jar], answer: Mapping[str, Any]) -> Report:
    """Of OSV's `querybatch`, with one query for each jar."""
    results = answer.get("results")
    if not isinstance(results, list) or len(results) != len(jars):
        return Report(of=of, unasked="the answer is no result for each jar")
    known = tuple(
        Known(
            package=jar.coordinates,
            ids=tuple(str(each["id"]) for each in result["vulns"]),
            way_out="see osv.dev for a version",
        )
        for jar, result in zip(jars, results, strict=True)
        if result.get("vulns")
    )
    return Report(of=of, known=known, judged=len(jars))


def _java() -> Report:
    of = "infra/install/jars.lock"
    try:
        jars = list({jar.coordinates: jar for jar in locked()}.values())
    except (InfraError, OSError) as error:
        return Report(of=of, broken=str(error))
    queries = [
        {"package": {"ecosystem": "Maven", "name": f"{jar.group}:{jar.artifact}"}, "version": jar.version}
        for jar in jars
    ]
    body = json.dumps({"queries": queries}).encode()
    request = urllib.request.Request(_OSV, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_LIMIT_S) as response:  # noqa: S310 - a constant
            return of_osv(of, jars, json.load(response))
    except (OSError, ValueError) as error:
        return Report(of=of, unasked=str(error) or type(error).__name__)


def _of_npm(found: Mapping[str, Any]) -> Known:
    # `via` holds advisories, and names of packages whose own entry has theirs.
    urls = [str(each["url"]) for each in found["via"] if isinstance(each, dict) and "url" in each]
    through = [each for each in found["via"] if isinstance(each, str)]
    return Known(
        package=f"{found['name']} {found['range']}",
        ids=tuple(url.rpartition("/")[2] for url in urls) or tuple(f"by {name}" for name in through),
        way_out="`npm audit fix` knows a version" if found.get("fixAvailable") else "no version mends it",
    )


def verdict(
    reports: Sequence[Report], today: datetime.date, accepted: Mapping[str, Accepted] = ACCEPTED
) -> Iterator[tuple[str, bool]]:
    """Lines, and whether each fails the build. What was not asked is a line that fails nothing."""
    for report in reports:
        if report.broken is not None:
            yield f"FAIL  {report.of}: the audit itself failed: {report.broken}", True
        for known in report.known:
            told = f"{known.package}: {', '.join(known.ids)}; {known.way_out}"
            good = [
                accepted[each] for each in known.ids if each in accepted and today <= accepted[each].until
            ]
            if good:
                yield f"ok    {report.of}: {told}; accepted until {good[0].until}: {good[0].reason}", False
            else:
                yield f"FAIL  {report.of}: {told}", True
        if report.broken is None and report.unasked is None and not report.known:
            yield f"ok    {report.of}: nothing is known of {report.judged} packages", False


def not_audited(reports: Sequence[Report]) -> str | None:
    """One loud line for all that was not asked."""
    told = "; ".join(f"{each.of} ({each.unasked})" for each in reports if each.unasked is not None)
    return f"!!!!  NOT AUDITED, since no advisory service answered for: {told}" if told else None


def _asked(of: str, argv: Sequence[str], directory: Path) -> "subprocess.CompletedProcess[str] | str":
    """What the auditor told, or why it told nothing."""
    try:
        return subprocess.run(
            argv, cwd=directory, capture_output=True, text=True, check=False, timeout=_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_LIMIT_S:g} s"
    except FileNotFoundError:
        return f"{argv[0]} is not installed"


def reports() -> list[Report]:
    """Of all lock files, side by side and bounded in time."""
    pip_audit = [str(Path(sys.executable).with_name("pip-audit")), "--disable-pip", "--require-hashes"]
    pip_audit += ["-f", "json", "--progress-spinner", "off", "-r"]
    asked = [(lock, [*pip_audit, lock], _ROOT, of_pip_audit) for lock in _PYTHON_LOCKS]
    npm = ["npm", "audit", "--omit=optional", "--json"]
    asked += [(name, npm, _ROOT / name, of_npm_audit) for name in _NPM_PROJECTS]
    with ThreadPoolExecutor(len(asked) + 1) as threads:
        java = threads.submit(_java)
        answers = list(threads.map(lambda each: _asked(*each[:3]), asked))
    return [
        Report(of=of, unasked=answer) if isinstance(answer, str) else read(of, answer)
        for (of, _, _, read), answer in zip(asked, answers, strict=True)
    ] + [java.result()]


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.audit", description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail too where a service was not asked")
    strict = parser.parse_args(argv).strict
    found = reports()
    failed = False
    for line, fails in verdict(found, datetime.datetime.now(datetime.UTC).date()):
        print(line)
        failed = failed or fails
    loud = not_audited(found)
    if loud is not None:
        print(loud)
    return 1 if failed or (strict and loud is not None) else 0


if __name__ == "__main__":
    sys.exit(main())
