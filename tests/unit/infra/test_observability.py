"""Alerts and dashboard: known metrics and labels, valid PromQL, runbooks that exist, alerts that fire."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from infra.install.promtool import find_promtool
from infra.observability import dashboard
from infra.settings import InfraSettings
from tests.observability import BY_PROMETHEUS, DIRECTORY, OF_FLINK, OF_PROMETHEUS, Query, alerts, queries
from tests.unit.app.observability.test_metrics import documented
from tests.unit.infra.alert_cases import CASES, Case

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def anchors() -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def labels_of(name: str) -> set[str]:
    """The labels of a sample's name, as docs/metrics.md has them."""
    if name in BY_PROMETHEUS:
        return set(OF_PROMETHEUS)
    if name in OF_FLINK:
        return set(OF_FLINK[name])
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


@pytest.fixture
def promtool() -> str:
    found = find_promtool(InfraSettings())
    if found is None:
        pytest.skip(
            "there is no promtool (`python -m infra install` takes it from Debian's package prometheus)"
        )
    return found


def test_each_query_is_promql(promtool: str, tmp_path: Path) -> None:
    rules = {"groups": [{"name": "all", "rules": [
        {"record": f"q{n}", "expr": query.expr} for n, query in enumerate(queries())
    ]}]}  # fmt: skip
    every = tmp_path / "all.yaml"
    every.write_text(json.dumps(rules))
    for path in (every, DIRECTORY / "alerts.yaml"):
        done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_scrapes_of_the_page_are_those_that_the_rules_look_for(promtool: str, tmp_path: Path) -> None:
    shown = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", OPERATIONS, re.MULTILINE | re.DOTALL)
    assert len(shown) == 1
    assert [each["job_name"] for each in yaml.safe_load(shown[0])["scrape_configs"]] == ["user-profile"]
    path = tmp_path / "prometheus.yml"
    path.write_text(shown[0])
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_its_cases() -> None:
    assert {case.alert for case in CASES} == {rule["alert"] for rule in alerts()}
    assert all(case.silent for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_each_alert_fires_when_it_has_to_and_not_else(case: Case, promtool: str, tmp_path: Path) -> None:
    rule = next(rule for rule in alerts() if rule["alert"] == case.alert)
    assert isinstance(rule["labels"], dict)
    assert isinstance(rule["annotations"], dict)
    fires = {
        "exp_labels": {**case.labels, **rule["labels"]},
        "exp_annotations": {"summary": case.summary, "runbook": rule["annotations"]["runbook"]},
    }
    tried = [(case.firing, [fires]), *((series, []) for series in case.silent)]
    content = {
        "rule_files": [str(DIRECTORY / "alerts.yaml")],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}],
            }
            for series, expected in tried
        ],
    }
    path = tmp_path / "case.yaml"
    path.write_text(json.dumps(content))
    done = subprocess.run(
        [promtool, "test", "rules", path], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
