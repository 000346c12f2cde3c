"""Metric names and labels that PromQL expressions use."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from infra.observability import dashboard

DIRECTORY = Path(dashboard.__file__).parent
_SELECTOR = re.compile(r"\b(profile_\w+|flink_\w+|up(?=\{))(?:\{([^}]*)\})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
# What Prometheus adds to each sample; and a worker, where it has several processes.
OF_PROMETHEUS = {"instance", "job", "process"}
# What Prometheus makes of each scrape.
BY_PROMETHEUS = {"up"}
# Of Flink's Prometheus reporter, which an operator turns on: what userprofile.sources.LetterCounts counts.
OF_FLINK = {
    "flink_taskmanager_job_task_operator_topic_error_path_dead_letters": frozenset({"topic", "error", "path"})
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """An expression, and the labels that the text around it names."""

    name: str
    expr: str
    told: frozenset[str]

    @property
    def selectors(self) -> dict[str, set[str]]:
        """Labels that are matched, by metric."""
        found: dict[str, set[str]] = {}
        for name, matchers in _SELECTOR.findall(self.expr):
            found.setdefault(name, set()).update(_MATCHER.findall(matchers))
        return found

    @property
    def grouped(self) -> set[str]:
        labels = ",".join(_GROUPING.findall(self.expr)).split(",")
        return {label.strip() for label in labels if label.strip()} | self.told


def alerts() -> list[dict[str, object]]:
    content = yaml.safe_load((DIRECTORY / "alerts.yaml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def queries() -> Iterator[Query]:
    """Of the alerts and of the dashboard."""
    for rule in alerts():
        told = frozenset(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        yield Query(name=str(rule["alert"]), expr=str(rule["expr"]), told=told)
    for panel in dashboard.dashboard()["panels"]:
        for target in panel.get("targets", ()):
            legend = frozenset(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            yield Query(name=panel["title"], expr=target["expr"], told=legend)
