"""Submits the SQL jobs of `flink/` to the session cluster, and cancels them.

A session cluster forgets its jobs when it restarts: each is submitted again from the newest checkpoint that
it kept. Checkpoints lie under the fingerprint of a job's SQL, so that a changed job does not meet a state that
it can't read: it starts from the beginning of its topics, and its results win by their versions and dates.
"""

import hashlib
import logging
import re
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.flink_client import ContainerClient, FlinkClient, NativeClient
from infra.locking import file_lock
from infra.rest import request
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

SQL_DIR: Final = Path(__file__).parents[1] / "flink"
JOBS: Final = ("payments", "accounts", "crm", "cdp", "metrics")
SLOTS_NEEDED: Final = len(JOBS)  # at parallelism 1; the cluster offers `flink_task_slots`

_OVER: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]*\Z")
_PLACEHOLDER: Final = re.compile(r"@[A-Z]+@")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_POLL_S: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One rendered job. `checkpoints` is where it keeps its own."""

    name: str  # as Flink shows it; unique to (prefix, job)
    sql: str
    checkpoints: str


def job_name(topic_prefix: str, job: str) -> str:
    """The name by which a job is found again in the cluster."""
    return f"{topic_prefix}user-profile.{job}"


def render(text: str, *, brokers: str, topic_prefix: str) -> str:
    """Fill in the placeholders. Raises InfraError for one that is unknown, or a prefix that is no topic's."""
    if not _PREFIX.match(topic_prefix):
        raise InfraError(
            f"The topic prefix {topic_prefix!r} is not allowed: letters, digits, '.', '_' and '-' only."
        )
    filled = text.replace("@BROKERS@", brokers).replace("@PREFIX@", topic_prefix)
    if left := _PLACEHOLDER.search(filled):
        raise InfraError(f"{left[0]} in the SQL of flink/ is an unknown placeholder.")
    return filled


def rendered_jobs(*, brokers: str, topic_prefix: str, checkpoints: str) -> tuple[str, list[Job]]:
    """The statements that all jobs share, and the jobs."""
    shared = render((SQL_DIR / "tables.sql").read_text(), brokers=brokers, topic_prefix=topic_prefix)
    jobs = []
    for job in JOBS:
        sql = render(
            (SQL_DIR / "jobs" / f"{job}.sql").read_text(), brokers=brokers, topic_prefix=topic_prefix
        )
        fingerprint = hashlib.sha256(f"{shared}\0{sql}".encode()).hexdigest()[:12]
        name = job_name(topic_prefix, job)
        jobs.append(Job(name=name, sql=sql, checkpoints=f"{checkpoints}/{name}/{fingerprint}"))
    return shared, jobs


def script(shared: str, jobs: list[tuple[Job, str | None]]) -> str:
    """The input of one run of the SQL client: these jobs, each from its checkpoint if it has one."""
    parts = [shared]
    for job, checkpoint in jobs:
        parts += [
            f"SET 'pipeline.name' = '{job.name}';",
            f"SET 'execution.checkpointing.dir' = 'file://{job.checkpoints}';",
            f"SET 'execution.state-recovery.path' = 'file://{checkpoint}';"
            if checkpoint
            else "RESET 'execution.state-recovery.path';",
            job.sql,
        ]
    return "\n".join(parts)


def submit(settings: InfraSettings, *, topic_prefix: str = "", in_containers: bool = False) -> list[str]:
    """Submit the jobs that do not run; return their names when all tasks of all jobs run.

    Idempotent; the topics have to exist. Raises InfraError with what Flink says.
    """
    client: FlinkClient = ContainerClient(settings) if in_containers else NativeClient(settings)
    shared, jobs = rendered_jobs(
        brokers=client.brokers, topic_prefix=topic_prefix, checkpoints=client.checkpoints
    )
    # Two submitters at once would both find that a job is missing.
    with file_lock(settings.data_root / f"stack-{settings.port_offset}.flink-jobs.lock"):
        running = _running(settings)
        missing = [job for job in jobs if job.name not in running]
        if missing:
            started = time.monotonic()
            resumed = [(job, client.latest_checkpoint(job.checkpoints)) for job in missing]
            _check_output(client.run_sql(script(shared, resumed)))
            for job, checkpoint in resumed:
                logger.info("Submitted %s (%s)", job.name, f"from {checkpoint}" if checkpoint else "anew")
            logger.info("Submitted %d jobs in %.0f s", len(missing), time.monotonic() - started)
    _await_running(settings, [job.name for job in jobs])
    return [job.name for job in missing]


def cancel(settings: InfraSettings, *, topic_prefix: str, in_containers: bool = False) -> list[str]:
    """Cancel the jobs of a prefix, wait for their end, and remove their checkpoints; return their names."""
    client: FlinkClient = ContainerClient(settings) if in_containers else NativeClient(settings)
    names = [job_name(topic_prefix, job) for job in JOBS]
    running = {name: ids for name, ids in _running(settings).items() if name in names}
    for job_id in (job_id for ids in running.values() for job_id in ids):
        _call(settings, "PATCH", f"/jobs/{job_id}?mode=cancel")
    deadline = time.monotonic() + settings.start_timeout_s
    while any(name in names for name in _running(settings)):
        if time.monotonic() > deadline:
            raise InfraError("Flink did not cancel the jobs: see `python -m infra logs flink`.")
        time.sleep(_POLL_S)
    for name in names:
        client.remove(f"{client.checkpoints}/{name}")
    return sorted(running)


def _running(settings: InfraSettings) -> dict[str, list[str]]:
    """The ids of all jobs that are not over, by name."""
    found: dict[str, list[str]] = {}
    for job in _call(settings, "GET", "/jobs/overview")["jobs"]:
        if job["state"] not in _OVER:
            found.setdefault(job["name"], []).append(job["jid"])
    return found


def _await_running(settings: InfraSettings, names: list[str]) -> None:
    deadline = time.monotonic() + settings.start_timeout_s
    while waiting := _not_running(settings, names):
        if time.monotonic() > deadline:
            raise InfraError(f"These Flink jobs do not run: {'; '.join(waiting)}. {_hint(settings)}")
        time.sleep(_POLL_S)


def _not_running(settings: InfraSettings, names: list[str]) -> list[str]:
    running = _running(settings)
    waiting = []
    for name in names:
        if name not in running:
            waiting.append(f"{name} (not there)")
            continue
        vertices = _call(settings, "GET", f"/jobs/{running[name][0]}")["vertices"]
        states = sorted({vertex["status"] for vertex in vertices} - {"RUNNING"})
        if states or not vertices:
            waiting.append(f"{name} ({', '.join(states) or 'no tasks'}{_cause(settings, running[name][0])})")
    return waiting


def _cause(settings: InfraSettings, job_id: str) -> str:
    entries = _call(settings, "GET", f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
    return f": {entries[0]['stacktrace'].splitlines()[0]}" if entries else ""


def _hint(settings: InfraSettings) -> str:
    return (
        f"The jobs need {SLOTS_NEEDED} task slots of INFRA_FLINK_TASK_SLOTS={settings.flink_task_slots}, "
        f"and their topics. See {settings.flink_url} and `python -m infra logs flink`."
    )


def _check_output(output: str) -> None:
    plain = _COLOURS.sub("", output)
    _, error, reason = plain.partition("[ERROR]")
    if error:
        lines = [line.strip() for line in reason.splitlines() if line.strip()]
        raise InfraError(
            "Flink refused a statement: " + "\n".join(lines[:4]) + "\nSee `python -m infra logs flink`."
        )


def _call(settings: InfraSettings, method: str, path: str) -> Any:
    code, body = request(method, f"{settings.flink_url}{path}")
    if code >= HTTPStatus.BAD_REQUEST:
        raise InfraError(f"Flink answered {code} to {method} {path}: {str(body)[:300]}")
    return body
