"""docs/metrics.md tells of each metric, with its type and labels, and of none beside them."""

import re
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

import app.observability.metrics
import cdc.metrics
from app.core.records import Offsets, Partition
from app.observability.lockfree import Counts, ExpressTimes, HttpTimes, Times
from app.observability.metrics import ConsumerLag, exposition
from app.observability.store_state import StoreState

OURS = MetricWrapperBase | ConsumerLag | HttpTimes | ExpressTimes | Counts | Times | StoreState
PAGE = Path(__file__).parents[4] / "docs/metrics.md"


def exposed() -> dict[str, str]:
    """Types by name, as /metrics has them; `…_created`, the time of a counter's birth, goes without saying."""
    page = exposition()[0].decode()
    types = dict(re.findall(r"^# TYPE (profile_\w+) (\w+)$", page, re.MULTILINE))
    return {name: kind for name, kind in types.items() if not name.endswith("_created")}


def labels() -> dict[str, list[str]]:
    """Labels by name, as /metrics has it."""
    found = {}
    for module in (app.observability.metrics, cdc.metrics):
        for metric in vars(module).values():
            if isinstance(metric, OURS):
                for family in metric.describe():
                    name = f"{family.name}_total" if family.type == "counter" else family.name
                    owner = metric if isinstance(metric, MetricWrapperBase) else family
                    found[name] = list(owner._labelnames)
    return found


def documented() -> dict[str, tuple[str, list[str]]]:
    rows = re.findall(r"^\| `(profile_\w+)` \| (\w+) \|([^|]*)\|[^|]+\|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == len({name for name, *_ in rows})
    return {name: (kind, re.findall(r"`(\w+)`", told)) for name, kind, told in rows}


def test_the_page_has_each_metric_and_no_other() -> None:
    expected = {name: (kind, labels()[name]) for name, kind in exposed().items()}
    assert documented() == expected


def test_each_metric_that_the_page_names_exists() -> None:
    named = set(re.findall(r"profile_\w+", PAGE.read_text()))
    assert {name.removesuffix("_bucket") for name in named} == exposed().keys()


def test_lag_is_read_when_the_page_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assigned = {Partition("t", 3): Offsets(10, 15), Partition("t", 4): Offsets(7, 7)}
    monkeypatch.setattr(app.observability.metrics.CONSUMER_LAG, "offsets", lambda: assigned)

    def lag(partition: int) -> float | None:
        labels = {"topic": "t", "partition": str(partition)}
        return REGISTRY.get_sample_value("profile_consumer_lag_records", labels)

    assert (lag(3), lag(4)) == (5, 0)
    assigned[Partition("t", 3)] = Offsets(15, 15)
    del assigned[Partition("t", 4)]
    assert (lag(3), lag(4)) == (0, None)
