"""Alerts and dashboard: known metrics and labels, valid PromQL, runbooks that exist, events that are listed."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from app.log_events import LogEvent
from infra.observability import dashboard
from tests.observability import DIRECTORY, OF_PROMETHEUS, Query, alerts, queries
from tests.unit.app.test_metrics import documented

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def anchors() -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def labels_of(name: str) -> set[str]:
    """The labels of a sample's name, as docs/metrics.md has them."""
    metrics = documented()
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    if name not in metrics and metrics.get(base, ("",))[0] == "histogram":
        return {*metrics[base][1], *(["le"] if name.endswith("_bucket") else [])}
    assert name in metrics, f"{name} is no metric"
    return set(metrics[name][1])


@pytest.mark.parametrize("query", list(queries()), ids=lambda query: query.name)
def test_queries_name_known_metrics_and_labels(query: Query) -> None:
    assert query.selectors
    known = set(OF_PROMETHEUS)
    for name, matched in query.selectors.items():
        labels = labels_of(name)
        assert matched <= labels, f"{name} has no {matched - labels}"
        known |= labels
    assert query.grouped <= known


def test_the_dashboard_is_what_its_table_makes() -> None:
    assert json.loads((DIRECTORY / "dashboard.json").read_text()) == dashboard.dashboard()


def test_each_alert_has_a_runbook_that_exists() -> None:
    for rule in alerts():
        annotations = rule["annotations"]
        assert isinstance(annotations, dict)
        page, _, anchor = annotations["runbook"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in anchors(), rule["alert"]
        assert annotations["summary"]


def test_links_of_the_runbooks_exist() -> None:
    assert set(re.findall(r"\]\(#([\w-]+)\)", OPERATIONS)) <= anchors()


def test_each_query_is_promql(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool (Debian: apt-get install prometheus)")
    rules = {"groups": [{"name": "all", "rules": [
        {"record": f"q{n}", "expr": query.expr} for n, query in enumerate(queries())
    ]}]}  # fmt: skip
    every = tmp_path / "all.yaml"
    every.write_text(json.dumps(rules))
    for path in (every, DIRECTORY / "alerts.yaml"):
        done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_events_of_the_log_are_listed_and_used() -> None:
    listed = {
        event
        for row in re.findall(r"^\| ((?:`[a-z._]+` ?)+) \|", OPERATIONS, re.MULTILINE)
        for event in re.findall(r"`([a-z._]+)`", row)
    }
    assert listed == {str(event) for event in LogEvent}
    code = "".join(
        path.read_text()
        for package in ("app", "agents", "cdc", "storage", "web")
        for path in (ROOT / package).glob("*.py")
        if path.name != "log_events.py"
    )
    assert set(re.findall(r"LogEvent\.([A-Z_]+)\.extra", code)) == {event.name for event in LogEvent}
