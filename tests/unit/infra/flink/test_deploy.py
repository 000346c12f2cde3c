"""The order of an upgrade, on a cluster that is a few dictionaries."""

import time
from pathlib import Path
from typing import Any

import pytest

from infra.errors import InfraError
from infra.flink import deploy, jobs
from infra.flink.checkpoints import Checkpoint
from infra.settings import InfraSettings

OLD_SQL = "EXECUTE STATEMENT SET BEGIN the old END;"


class Cluster:
    """Flink's REST interface and the client, as far as an upgrade uses them."""

    brokers = "b:1"
    checkpoints = "/c"

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}  # id: directory of its checkpoints
        self.names: dict[str, str] = {}  # of those that are not payments, by id
        self.files: dict[str, str] = {}
        self.checkpoints_kept: list[Checkpoint] = []
        self.copied: list[tuple[str, str]] = []
        self.removed: list[str] = []
        self.steps: list[str] = []
        self.bad_plan = False
        self.bad_state = ""  # a text of SQL that does not fit the state

    # --- the client
    def run_sql(self, script: str) -> str:
        if "EXPLAIN STATEMENT SET BEGIN" in script:
            self.steps.append("plan")
            return "[ERROR] no such column" if self.bad_plan else ""
        state = script.partition("SET 'execution.state-recovery.path' = 'file://")[2].partition("'")[0]
        directory = script.partition("SET 'execution.checkpointing.dir' = 'file://")[2].partition("'")[0]
        self.steps.append(f"start {'old' if OLD_SQL in script else 'new'} from {state or 'nothing'}")
        if state and self.bad_state and self.bad_state in script:
            return "[ERROR] Cannot map state"
        self.jobs[f"id-{len(self.steps)}"] = directory
        return f"Job ID: id-{len(self.steps)}"

    def functions(self, _: Path) -> str:
        return jobs.JAR

    def write(self, path: str, text: str) -> None:
        self.files[path] = text

    def read(self, path: str) -> str:
        return self.files.get(path, "")

    def copy(self, source: str, target: str) -> None:
        self.copied.append((source, target))

    def remove(self, directory: str) -> None:
        self.removed.append(directory)

    def kept(self, directory: str) -> list[Checkpoint]:
        return self.checkpoints_kept

    # --- the REST interface
    def call(self, _: InfraSettings, method: str, path: str, payload: Any = None) -> Any:
        parts = path.strip("/").split("/")
        if path == "/jobs/overview":
            names = {each: jobs.job_name("", self.names.get(each, "payments")) for each in self.jobs}
            return {"jobs": [{"name": names[each], "jid": each, "state": "RUNNING"} for each in self.jobs]}
        if parts[-1] == "checkpoints":
            return {"latest": {"completed": {"external_path": f"file:{self.jobs[parts[1]]}/x/chk-1"}}}
        if parts[-1] == "stop":
            self.steps.append("savepoint")
            del self.jobs[parts[1]]
            self.savepoint = payload["targetDirectory"].removeprefix("file://") + "/savepoint-1"
            return {"request-id": "r"}
        if parts[-2:-1] == ["savepoints"]:
            return {"status": {"id": "COMPLETED"}, "operation": {"location": f"file:{self.savepoint}"}}
        if method == "PATCH":
            self.steps.append("cancel")
            del self.jobs[parts[1].partition("?")[0]]
            return None
        return {"vertices": [{"status": "RUNNING"}]}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cluster:
    fake = Cluster()
    fake.jobs = {"id-0": "/c/old"}
    fake.files["/c/old/submitted.sql"] = OLD_SQL
    monkeypatch.setattr(jobs, "JOBS", ("payments",))
    monkeypatch.setattr(jobs, "NativeClient", lambda _: fake)
    for module in (jobs, deploy):
        monkeypatch.setattr(module, "call", fake.call)
    return fake


@pytest.fixture
def settings(tmp_path: Path) -> InfraSettings:
    return InfraSettings(data_root=tmp_path, start_timeout_s=5)


def _new() -> str:
    _, (job,) = jobs.rendered_jobs(brokers="b:1", topic_prefix="", checkpoints="/c", phone_region="BR")
    return job.checkpoints


def test_an_upgrade_plans_first_and_starts_from_the_savepoint(
    cluster: Cluster, settings: InfraSettings
) -> None:
    """The savepoint stands where a restart of the cluster would look for the new job's state."""
    assert deploy.deploy(settings) == [jobs.job_name("", "payments")]
    own = f"{_new()}/savepoints/savepoint-1"
    assert cluster.copied == [("/c/old/savepoints/savepoint-1", own)]
    assert cluster.steps == ["plan", "savepoint", f"start new from {own}"]
    assert deploy.deploy(settings) == []


def test_sql_that_cannot_be_planned_touches_nothing(cluster: Cluster, settings: InfraSettings) -> None:
    cluster.bad_plan = True
    with pytest.raises(InfraError, match="no such column"):
        deploy.deploy(settings)
    assert cluster.steps == ["plan"]
    assert cluster.jobs == {"id-0": "/c/old"}


def test_state_that_does_not_fit_lets_the_old_sql_go_on(cluster: Cluster, settings: InfraSettings) -> None:
    """From the savepoint, not from the checkpoint before it, and without traces of the new."""
    cluster.bad_state = "payments_checked"
    with pytest.raises(InfraError, match=r"was not upgraded.*--anew.*Cannot map state"):
        deploy.deploy(settings)
    assert cluster.steps[-1] == "start old from /c/old/savepoints/savepoint-1"
    assert list(cluster.jobs.values()) == ["/c/old"]
    assert cluster.removed[-1] == _new()


def test_anew_forgets_the_state(cluster: Cluster, settings: InfraSettings) -> None:
    deploy.deploy(settings, anew=True)
    assert cluster.steps == ["plan", "cancel", "start new from nothing"]


def test_jobs_of_earlier_releases_are_stopped_with_a_savepoint(
    cluster: Cluster, settings: InfraSettings
) -> None:
    """Another job reads their topics now. A savepoint commits what they have written: no transaction stays open."""
    cluster.jobs = {"id-0": _new(), "id-old": "/c/crm/1"}
    cluster.names = {"id-old": "crm"}
    assert jobs.submit(settings) == []
    assert cluster.steps == ["savepoint"]
    assert list(cluster.jobs) == ["id-0"]


@pytest.mark.parametrize(("away_days", "resumed"), [(0.4, "chk-9"), (0.6, "chk-7")])
def test_a_start_after_a_long_outage_goes_back_further(
    cluster: Cluster, settings: InfraSettings, away_days: float, resumed: str
) -> None:
    """The sinks have a day for what the newest checkpoint was to commit; half of it counts."""
    cluster.jobs = {}
    last = time.time() - away_days * 86_400
    cluster.checkpoints_kept = [
        Checkpoint(path=f"/c/job/chk-{number}", completed_at=last - 9 + number) for number in (9, 8, 7)
    ]
    assert deploy.deploy(settings) == [jobs.job_name("", "payments")]
    assert cluster.steps == [f"start new from /c/job/{resumed}"]


def test_a_client_that_could_not_begin_is_an_error() -> None:
    """It prints no [ERROR] then, and the jobs would be waited for in vain."""
    crash = 'Exception in thread "main" java.lang.NoClassDefFoundError: Security\n\tat java.base/Security\n'
    with pytest.raises(InfraError, match=r"started no job: .*NoClassDefFoundError: Security$"):
        jobs.check_output(crash, started=1)
    with pytest.raises(InfraError, match="printed nothing"):
        jobs.check_output("", started=2)
    jobs.check_output("Job ID: 1\nJob ID: 2\n", started=2)
    jobs.check_output("")
