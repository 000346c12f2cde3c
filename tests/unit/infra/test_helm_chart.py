"""The chart of Kubernetes: what Helm renders of it, where Helm is, and what needs no Helm. No cluster is asked."""

import os
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config.settings import Settings
from app.worker.faust_app import ProfileApp

ROOT = Path(__file__).parents[3]
CHECK = ROOT / "infra" / "helm" / "check.sh"
CHART = CHECK.with_name("user-profile")
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
VARIABLES = {f"PROFILE_{name.upper()}" for name in Settings.model_fields}

needs_helm = pytest.mark.skipif(
    shutil.which("helm") is None, reason="Helm is not installed (helm.sh/helm/v3/cmd/helm)"
)


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    done = subprocess.run(
        [CHECK], capture_output=True, text=True, check=False, env={**os.environ, "WITHOUT_SCHEMAS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _of(kind: str, rendered: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in rendered if each["kind"] == kind}


def _pods(rendered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    workloads = [*_of("Deployment", rendered).values(), *_of("Job", rendered).values()]
    return [each["spec"]["template"] for each in workloads]


def test_the_chart_is_of_this_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["version"] == chart["appVersion"] == version


def test_the_rules_are_those_of_the_repository() -> None:
    assert (CHART / "files" / "alerts.yaml").resolve() == ROOT / "infra" / "observability" / "alerts.yaml"


def test_every_role_is_taken_once() -> None:
    taken = [role for each in VALUES["roles"].values() for role in each["roles"] if role != "web"]
    assert sorted(taken) == sorted(role for role in Settings(_env_file=None).roles if role != "web")


def test_settings_of_the_values_are_settings() -> None:
    for role in VALUES["roles"].values():
        assert set(role["settings"]) <= VARIABLES


@needs_helm
def test_variables_are_settings(rendered: list[dict[str, Any]]) -> None:
    for pod in _pods(rendered):
        for container in pod["spec"]["containers"]:
            names = [each["name"] for each in container["env"]]
            assert set(names) <= VARIABLES
            assert len(names) == len(set(names))


@needs_helm
def test_no_pod_has_a_right_it_does_not_need(rendered: list[dict[str, Any]]) -> None:
    assert len(_pods(rendered)) == 6
    for pod in _pods(rendered):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {each["name"] for each in spec["volumes"]}


@needs_helm
def test_no_secret_stands_in_a_manifest(rendered: list[dict[str, Any]]) -> None:
    assert not _of("Secret", rendered)
    for pod in _pods(rendered):
        (container,) = pod["spec"]["containers"]
        for variable in container["env"]:
            if (
                Settings.model_fields[variable["name"].removeprefix("PROFILE_").lower()].annotation.__name__
                == "SecretStr"
            ):
                assert "value" not in variable


@needs_helm
def test_selectors_find_their_pods(rendered: list[dict[str, Any]]) -> None:
    pods = [each["metadata"]["labels"] for each in _pods(rendered)]
    deployments = _of("Deployment", rendered)

    def chosen(selector: dict[str, str]) -> int:
        return sum(selector.items() <= labels.items() for labels in pods)

    for deployment in deployments.values():
        assert chosen(deployment["spec"]["selector"]["matchLabels"]) == 1
    services = _of("Service", rendered)
    assert chosen(services["up"]["spec"]["selector"]) == 1  # requests go to web alone
    for budget in _of("PodDisruptionBudget", rendered).values():
        assert chosen(budget["spec"]["selector"]["matchLabels"]) == 1
    (policy,) = _of("NetworkPolicy", rendered).values()
    assert chosen(policy["spec"]["podSelector"]["matchLabels"]) == len(pods)
    for kind in ("HorizontalPodAutoscaler", "ScaledObject"):
        for scaler in _of(kind, rendered).values():
            assert scaler["spec"]["scaleTargetRef"]["name"] in deployments


@needs_helm
def test_lag_is_that_of_the_group_and_topics_of_the_pods(rendered: list[dict[str, Any]]) -> None:
    scalers = _of("ScaledObject", rendered)
    assert set(scalers) == {"up-ingest", "up-cdc"}
    for name, scaler in scalers.items():
        settings = Settings(
            _env_file=None, roles=",".join(VALUES["roles"][name.removeprefix("up-")]["roles"])
        )
        topics = {*settings.topics.normalised, settings.topics.cdc}
        for trigger in scaler["spec"]["triggers"]:
            assert trigger["metadata"]["consumerGroup"] == settings.group_id
            assert trigger["metadata"]["topic"] in topics
        assert scaler["spec"]["maxReplicaCount"] <= settings.topic_partitions


@needs_helm
def test_a_rolling_upgrade_refuses_nobody(rendered: list[dict[str, Any]]) -> None:
    web = _of("Deployment", rendered)["up-web"]["spec"]
    assert web["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    pod = web["template"]["spec"]
    (container,) = pod["containers"]
    _, pause = container["lifecycle"]["preStop"]["exec"]["command"]
    assert int(pause) + ProfileApp.stop_limit_s < pod["terminationGracePeriodSeconds"]
    for pods in _pods(rendered):
        assert "command" not in pods["spec"]["containers"][0]  # the image's own: no shell before the worker


@needs_helm
def test_the_schema_comes_before_the_code_that_needs_it(rendered: list[dict[str, Any]]) -> None:
    hooks = {name: job["metadata"]["annotations"] for name, job in _of("Job", rendered).items()}
    assert hooks["up-migrate"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert int(hooks["up-migrate"]["helm.sh/hook-weight"]) < int(hooks["up-topics"]["helm.sh/hook-weight"])
    assert hooks["up-connector"]["helm.sh/hook"] == "post-install,post-upgrade"


@needs_helm
def test_rules_and_scrapes_agree(rendered: list[dict[str, Any]]) -> None:
    (rule,) = _of("PrometheusRule", rendered).values()
    ours = yaml.safe_load((ROOT / "infra" / "observability" / "alerts.yaml").read_text())
    assert rule["spec"]["groups"] == ours["groups"]
    (monitor,) = _of("ServiceMonitor", rendered).values()
    services = _of("Service", rendered).values()
    found = [
        each
        for each in services
        if monitor["spec"]["selector"]["matchLabels"].items() <= each["metadata"]["labels"].items()
    ]
    assert [each["metadata"]["labels"][monitor["spec"]["jobLabel"]] for each in found] == ["user-profile"]
