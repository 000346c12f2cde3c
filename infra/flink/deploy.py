"""Upgrades running jobs to the SQL of `flink/`, each from a savepoint.

One job after the other: plan the new SQL (an error stops here, before anything is touched), stop the running
job with a savepoint, start the new SQL from it. State belongs to operators, which are told apart by their place
in the plan: changed expressions keep it, a changed shape (another join, aggregate or deduplication) does not.
Flink refuses to start then; the old SQL, which stands beside its checkpoints, goes on from the savepoint, and
nothing is lost or written twice.
"""

import logging
import time
from pathlib import PurePosixPath
from typing import Final

from infra.errors import InfraError
from infra.flink.client import FlinkClient
from infra.flink.jobs import (
    SUBMITTED,
    Job,
    await_running,
    call,
    check_output,
    client_and_jobs,
    jobs_lock,
    running_ids,
    script,
    stop_and_wait,
    stop_with_savepoint,
    submit,
)
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

_POLL_S: Final = 0.3


def deploy(settings: InfraSettings, *, topic_prefix: str = "", anew: bool = False) -> list[str]:
    """Bring the running jobs to the SQL as it is now, start those that don't run; return the names of both.

    `anew`: changed jobs start from the beginning of their topics instead, with empty state. Raises InfraError when a
    statement is wrong or the state does not fit; the job that was running goes on then.
    """
    client, shared, jobs = client_and_jobs(settings, topic_prefix=topic_prefix)
    with jobs_lock(settings):
        running = running_ids(settings)
        changed = [
            (job, running[job.name][0], old)
            for job in jobs
            if job.name in running
            and (old := _directory_of(settings, running[job.name][0])) != job.checkpoints
        ]
        if changed:
            _plan(client, shared, [job for job, _, _ in changed])
        for job, job_id, old in changed:
            if anew:
                stop_and_wait(settings, [job_id])
                client.remove(job.checkpoints)
                _start(settings, client, shared, job, None)
            else:
                _upgrade(settings, client, shared, job, old)
            logger.info("Upgraded %s (%s)", job.name, "anew" if anew else "from its savepoint")
    started = submit(settings, topic_prefix=topic_prefix)
    return [job.name for job, _, _ in changed] + started


def _plan(client: FlinkClient, shared: str, jobs: list[Job]) -> None:
    text = script(shared, [(job, None) for job in jobs])
    check_output(client.run_sql(text.replace("EXECUTE STATEMENT SET BEGIN", "EXPLAIN STATEMENT SET BEGIN")))


def _upgrade(settings: InfraSettings, client: FlinkClient, shared: str, job: Job, old: str) -> None:
    (job_id,) = running_ids(settings)[job.name]
    savepoint = stop_with_savepoint(settings, job_id, f"{old}/savepoints")
    # Where the new job keeps its checkpoints: it is found there should the cluster stop before the first of them.
    client.remove(job.checkpoints)
    own = f"{job.checkpoints}/savepoints/{PurePosixPath(savepoint).name}"
    client.copy(savepoint, own)
    try:
        _start(settings, client, shared, job, own)
    except InfraError as error:
        stop_and_wait(settings, running_ids(settings).get(job.name, []))
        client.remove(job.checkpoints)
        before = Job(name=job.name, sql=client.read(f"{old}/{SUBMITTED}"), checkpoints=old)
        _start(settings, client, "", before, savepoint)
        raise InfraError(
            f"{job.name} was not upgraded: its new SQL can't go on from the state of the old, which runs again "
            f"from its savepoint. If another join, aggregate or deduplication is meant, raise the revision in the "
            f"SQL and start from the beginning of the topics: `make flink-deploy ARGS=--anew`. Flink says: {error}"
        ) from error


def _start(settings: InfraSettings, client: FlinkClient, shared: str, job: Job, state: str | None) -> None:
    client.write(f"{job.checkpoints}/{SUBMITTED}", f"{shared}\n{job.sql}")
    check_output(client.run_sql(script(shared, [(job, state)])), started=1)
    await_running(settings, [job.name], restarts_allowed=False)


def _directory_of(settings: InfraSettings, job_id: str) -> str:
    """Where a running job keeps its checkpoints, as its latest says; waits for its first."""
    deadline = time.monotonic() + settings.start_timeout_s
    while True:
        latest = call(settings, "GET", f"/jobs/{job_id}/checkpoints")["latest"]
        found = latest.get("completed") or latest.get("restored")
        if found:
            # <directory>/<job id or savepoints>/<checkpoint>
            return str(PurePosixPath(str(found["external_path"]).removeprefix("file:")).parents[1])
        if time.monotonic() > deadline:
            raise InfraError(f"The job {job_id} has no checkpoint yet, so it can't be upgraded.")
        time.sleep(_POLL_S)
