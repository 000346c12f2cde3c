"""Submits the SQL jobs of `flink/` to the session cluster, and cancels them.

A session cluster forgets its jobs when it restarts: each is submitted again from the newest checkpoint that
it kept, or from one before where it was away for long (`infra.flink.checkpoints`). Checkpoints lie under the
fingerprint of a job's SQL, so that a changed job does not meet a state that it can't read: it starts from the
beginning of its topics, and its results win by their versions and dates.
"""

import hashlib
import logging
import re
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from infra.errors import InfraError
from infra.flink.checkpoints import outlived, resume_point, transaction_timeout_s
from infra.flink.client import ContainerClient, FlinkClient, NativeClient
from infra.install.functions import JAR
from infra.locking import file_lock
from infra.rest import request
from infra.settings import InfraSettings

logger = logging.getLogger(__name__)

SQL_DIR: Final = Path(__file__).parents[2] / "flink"
JOBS: Final = ("payments", "events")
# Jobs of earlier releases: what runs of them is stopped, since the jobs above read their topics.
RETIRED: Final = ("accounts", "crm", "cdp", "metrics")
SUBMITTED: Final = "submitted.sql"  # beside the checkpoints of a job: what it was submitted with

_PAYMENTS: Final = "payment.events"
_NORMALISED: Final = ("entities-edges", "entity-properties", "temporal-data")
_OVER: Final = frozenset({"FINISHED", "CANCELED", "FAILED"})
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]*\Z")
_PLACEHOLDER: Final = re.compile(r"@[A-Z]+@")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_STARTED: Final = "Job ID:"  # what the SQL client prints of each job
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


def render(
    text: str,
    *,
    brokers: str,
    topic_prefix: str,
    account_wait_s: int = 3600,
    functions: str = JAR,
    phone_region: str = "",
    parallelism: int = 1,
    state_backend: str = "hashmap",
) -> str:
    """Fill in the placeholders. Raises InfraError for one that is unknown, or a prefix that is no topic's."""
    if not _PREFIX.match(topic_prefix):
        raise InfraError(
            f"The topic prefix {topic_prefix!r} is not allowed: letters, digits, '.', '_' and '-' only."
        )
    events, written = _topics(topic_prefix)
    values = {
        "@BROKERS@": brokers,
        "@FUNCTIONS@": functions,
        "@EVENTS@": ";".join(events),
        "@WRITTEN@": ";".join(written),
        "@REGION@": phone_region,
        "@PARALLELISM@": str(parallelism),
        "@STATE@": state_backend,
        "@PREFIX@": topic_prefix,
        "@WAIT@": str(account_wait_s),
        "@TWICE@": str(2 * account_wait_s),
        "@WAITDHMS@": _day_to_second(account_wait_s),
        "@HALFDHMS@": _day_to_second(account_wait_s // 2),
    }
    filled = text
    for placeholder, value in values.items():
        filled = filled.replace(placeholder, value)
    if left := _PLACEHOLDER.search(filled):
        raise InfraError(f"{left[0]} in the SQL of flink/ is an unknown placeholder.")
    return filled


def source_topics() -> list[str]:
    """The topics that have a contract, without a prefix."""
    return sorted(path.parent.name for path in (SQL_DIR / "contracts").glob("*/schema.json"))


def _topics(prefix: str) -> tuple[list[str], list[str]]:
    """What the events job reads: all sources but payments. What both jobs write."""
    sources = source_topics()
    written = [*_NORMALISED, *(f"{source}.dlq" for source in sources)]
    return [f"{prefix}{each}" for each in sources if each != _PAYMENTS], [
        f"{prefix}{each}" for each in written
    ]


def _day_to_second(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24} {hours % 24:02d}:{minutes:02d}:{rest:02d}"


def rendered_jobs(
    *,
    brokers: str,
    topic_prefix: str,
    checkpoints: str,
    account_wait_s: int = 3600,
    functions: str = JAR,
    phone_region: str = "",
    parallelism: int = 1,
    state_backend: str = "hashmap",
) -> tuple[str, list[Job]]:
    """The statements that all jobs share, and the jobs. `functions`: the jar, as the cluster names it."""

    def fill(path: Path) -> str:
        return render(
            path.read_text(),
            brokers=brokers,
            topic_prefix=topic_prefix,
            account_wait_s=account_wait_s,
            functions=functions,
            phone_region=phone_region,
            parallelism=parallelism,
            state_backend=state_backend,
        )

    shared = fill(SQL_DIR / "tables.sql")
    # The directory of the jar has its hash; where the cache lies makes no other job.
    jar = Path(functions)
    same = shared.replace(functions, f"{jar.parent.name}/{jar.name}")
    jobs = []
    for job in JOBS:
        sql = fill(SQL_DIR / "jobs" / f"{job}.sql")
        fingerprint = hashlib.sha256(f"{same}\0{sql}".encode()).hexdigest()[:12]
        name = job_name(topic_prefix, job)
        jobs.append(Job(name=name, sql=sql, checkpoints=f"{checkpoints}/{name}/{fingerprint}"))
    return shared, jobs


def script(shared: str, jobs: list[tuple[Job, str | None]]) -> str:
    """The input of one run of the SQL client: these jobs, each from its checkpoint or savepoint if it has one."""
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


def _client(settings: InfraSettings) -> FlinkClient:
    return ContainerClient(settings) if settings.in_container else NativeClient(settings)


def client_and_jobs(settings: InfraSettings, *, topic_prefix: str) -> tuple[FlinkClient, str, list[Job]]:
    """The stack's Flink, the statements that all jobs share, and the jobs as they are to run there."""
    client = _client(settings)
    shared, jobs = rendered_jobs(
        brokers=client.brokers,
        topic_prefix=topic_prefix,
        checkpoints=client.checkpoints,
        account_wait_s=settings.flink_account_wait_s,
        functions=client.functions(SQL_DIR),
        phone_region=settings.flink_phone_region,
        parallelism=settings.flink_parallelism,
        state_backend=settings.flink_state_backend,
    )
    return client, shared, jobs


def submit(settings: InfraSettings, *, topic_prefix: str = "") -> list[str]:
    """Submit the jobs that do not run; return their names when all tasks of all jobs run.

    Idempotent; the topics have to exist. Raises InfraError with what Flink says.
    """
    client, shared, jobs = client_and_jobs(settings, topic_prefix=topic_prefix)
    # Two submitters at once would both find that a job is missing.
    with jobs_lock(settings):
        running = running_ids(settings)
        _retire(settings, client, topic_prefix, running)
        missing = [job for job in jobs if job.name not in running]
        if missing:
            started = time.monotonic()
            resumed = [(job, _resume_point(client, shared, job)) for job in missing]
            check_output(client.run_sql(script(shared, resumed)), started=len(missing))
            for job in missing:
                # An upgrade that is refused goes back to this text.
                client.write(f"{job.checkpoints}/{SUBMITTED}", f"{shared}\n{job.sql}")
            for job, checkpoint in resumed:
                logger.info("Submitted %s (%s)", job.name, f"from {checkpoint}" if checkpoint else "anew")
            logger.info("Submitted %d jobs in %.0f s", len(missing), time.monotonic() - started)
    await_running(settings, [job.name for job in jobs])
    return [job.name for job in missing]


def _retire(
    settings: InfraSettings, client: FlinkClient, topic_prefix: str, running: dict[str, list[str]]
) -> None:
    """Stop jobs of earlier releases. With a savepoint, which commits what they have written: a transaction that nobody
    commits would hold up the readers of its topics.
    """
    for name in (job_name(topic_prefix, job) for job in RETIRED):
        for job_id in running.get(name, []):
            stop_with_savepoint(settings, job_id, f"{client.checkpoints}/{name}/retired")
            logger.info("Stopped %s, whose topics another job reads now", name)


def _resume_point(client: FlinkClient, shared: str, job: Job) -> str | None:
    kept, now = client.kept(job.checkpoints), time.time()
    timeout_s = transaction_timeout_s(f"{shared}\n{job.sql}")
    if outlived(kept, timeout_s=timeout_s, now=now):
        logger.warning(
            "%s was away for %.0f minutes, and Kafka may have aborted what its last checkpoint was to commit: it goes "
            "on from one before, and writes some records a second time",
            job.name,
            (now - kept[0].completed_at) / 60,
        )
    return resume_point(kept, timeout_s=timeout_s, now=now)


def jobs_lock(settings: InfraSettings) -> AbstractContextManager[None]:
    """Held by who submits or upgrades."""
    return file_lock(settings.data_root / f"stack-{settings.port_offset}.flink-jobs.lock")


def cancel(settings: InfraSettings, *, topic_prefix: str) -> list[str]:
    """Cancel the jobs of a prefix, wait for their end, and remove their checkpoints; return their names."""
    client = _client(settings)
    names = [job_name(topic_prefix, job) for job in (*JOBS, *RETIRED)]
    running = {name: ids for name, ids in running_ids(settings).items() if name in names}
    stop_and_wait(settings, [job_id for ids in running.values() for job_id in ids])
    for name in names:
        client.remove(f"{client.checkpoints}/{name}")
    return sorted(running)


def stop_and_wait(settings: InfraSettings, job_ids: list[str], *, cancel: bool = True) -> None:
    """Cancel these jobs, unless they are ending already, and wait for their end."""
    for job_id in job_ids if cancel else []:
        call(settings, "PATCH", f"/jobs/{job_id}?mode=cancel")
    deadline = time.monotonic() + settings.start_timeout_s
    while any(job_id in job_ids for ids in running_ids(settings).values() for job_id in ids):
        if time.monotonic() > deadline:
            raise InfraError("Flink did not end the jobs: see `python -m infra logs flink`.")
        time.sleep(_POLL_S)


def stop_with_savepoint(settings: InfraSettings, job_id: str, directory: str) -> str:
    """Stop the job and return its savepoint. What it has written until then is committed."""
    request = {"targetDirectory": f"file://{directory}", "drain": False}
    trigger = call(settings, "POST", f"/jobs/{job_id}/stop", request)["request-id"]
    deadline = time.monotonic() + settings.start_timeout_s
    while True:
        answer = call(settings, "GET", f"/jobs/{job_id}/savepoints/{trigger}")
        operation = answer.get("operation") or {}
        if location := operation.get("location"):
            break
        if failure := operation.get("failure-cause"):
            reason = str(failure.get("stack-trace", failure)).splitlines()[0]
            raise InfraError(f"Flink took no savepoint of {job_id}, which goes on as it was: {reason}")
        if time.monotonic() > deadline:
            raise InfraError(f"Flink took no savepoint of {job_id} in time: {cause(settings, job_id)}")
        time.sleep(_POLL_S)
    stop_and_wait(settings, [job_id], cancel=False)
    return str(location).removeprefix("file:")


def running_ids(settings: InfraSettings) -> dict[str, list[str]]:
    """The ids of all jobs that are not over, by name."""
    found: dict[str, list[str]] = {}
    for job in call(settings, "GET", "/jobs/overview")["jobs"]:
        if job["state"] not in _OVER:
            found.setdefault(job["name"], []).append(job["jid"])
    return found


def await_running(settings: InfraSettings, names: list[str], *, restarts_allowed: bool = True) -> None:
    """Return when all tasks of these jobs run. Raises InfraError with Flink's reason when they don't in time.

    Without `restarts_allowed` the first failure of a task is reason enough.
    """
    deadline = time.monotonic() + settings.start_timeout_s
    while waiting := _not_running(settings, names):
        failed = not restarts_allowed and any(": " in each for each in waiting)
        if failed or time.monotonic() > deadline:
            raise InfraError(f"These Flink jobs do not run: {'; '.join(waiting)}. {_hint(settings)}")
        time.sleep(_POLL_S)


def missing(settings: InfraSettings, *, topic_prefix: str) -> list[str]:
    """The names of the jobs that the cluster does not have. Raises InfraError where it does not answer."""
    running = running_ids(settings)
    return [name for name in (job_name(topic_prefix, job) for job in JOBS) if name not in running]


def _not_running(settings: InfraSettings, names: list[str]) -> list[str]:
    running = running_ids(settings)
    waiting = []
    for name in names:
        if name not in running:
            waiting.append(f"{name} (not there)")
            continue
        vertices = call(settings, "GET", f"/jobs/{running[name][0]}")["vertices"]
        states = sorted({vertex["status"] for vertex in vertices} - {"RUNNING"})
        if states or not vertices:
            waiting.append(f"{name} ({', '.join(states) or 'no tasks'}{cause(settings, running[name][0])})")
    return waiting


def cause(settings: InfraSettings, job_id: str) -> str:
    """The last failure of a job, after a colon; empty if there is none."""
    entries = call(settings, "GET", f"/jobs/{job_id}/exceptions")["exceptionHistory"]["entries"]
    return f": {entries[0]['stacktrace'].splitlines()[0]}" if entries else ""


def _hint(settings: InfraSettings) -> str:
    return (
        f"The jobs need {len(JOBS) * settings.flink_parallelism} task slots of "
        f"INFRA_FLINK_TASK_SLOTS={settings.flink_task_slots} times INFRA_FLINK_TASK_MANAGERS="
        f"{settings.flink_task_managers}, and their topics. See {settings.flink_url} and `python -m infra logs flink`."
    )


def check_output(output: str, *, started: int = 0) -> None:
    """Raise InfraError with the reason if the SQL client printed an error, or did not tell of so many jobs."""
    plain = _COLOURS.sub("", output)
    _, error, reason = plain.partition("[ERROR]")
    if error:
        lines = [line.strip() for line in reason.splitlines() if line.strip()]
        raise InfraError(
            "Flink refused a statement: " + "\n".join(lines[:4]) + "\nSee `python -m infra logs flink`."
        )
    if plain.count(_STARTED) < started:
        # A client that could not begin prints what Java says, and no [ERROR].
        lines = [line.strip() for line in plain.splitlines() if line.strip() and not line.startswith("\tat ")]
        raise InfraError(
            "Flink's SQL client started no job: " + "\n".join(lines[-4:] or ["it printed nothing"])
        )


def call(settings: InfraSettings, method: str, path: str, payload: object = None) -> Any:
    """Flink's REST interface. Raises InfraError for an answer that is an error."""
    code, body = request(method, f"{settings.flink_url}{path}", payload)
    if code >= HTTPStatus.BAD_REQUEST:
        raise InfraError(f"Flink answered {code} to {method} {path}: {str(body)[:300]}")
    return body
