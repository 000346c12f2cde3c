"""What holds for the text of every job, without a cluster."""

import re
import shutil
from pathlib import Path

import pytest

from app.config.topics import TopicNames
from infra.errors import InfraError
from infra.flink.jobs import JOBS, SQL_DIR, job_name, render, rendered_jobs, script, source_topics

PREFIX = "t-1."
INFRA = SQL_DIR.parent / "infra"


def _texts() -> dict[str, str]:
    return {job: (SQL_DIR / "jobs" / f"{job}.sql").read_text() for job in JOBS}


def _rendered(prefix: str = PREFIX) -> str:
    shared, jobs = rendered_jobs(brokers="127.0.0.1:1", topic_prefix=prefix, checkpoints="/c")
    return script(shared, [(job, None) for job in jobs])


def test_every_file_is_a_job() -> None:
    assert {path.stem for path in (SQL_DIR / "jobs").glob("*.sql")} == set(JOBS)


def test_no_placeholder_is_left() -> None:
    assert not re.search(r"@[A-Z]+@", _rendered())
    with pytest.raises(InfraError, match="@OTHER@"):
        render("SELECT '@OTHER@'", brokers="b", topic_prefix="")


def test_the_topics_are_those_that_the_service_creates() -> None:
    names = TopicNames(prefix=PREFIX)
    dead = [names.dead_letters(topic) for topic in names.sources]
    found = {name for names in re.findall(r"'topic' = '([^']+)'", _rendered()) for name in names.split(";")}
    assert found == {*names.sources, *names.normalised, *dead}


def test_jobs_under_different_prefixes_share_no_name_group_or_transaction() -> None:
    ids = [
        set(
            re.findall(r"'(?:pipeline\.name|[a-z.-]*(?:group\.id|id-prefix))' = '([^']+)'", _rendered(prefix))
        )
        for prefix in ("a.", "b.")
    ]
    assert len(ids[0]) == len(ids[1]) == 8  # two names, three groups, three sinks
    assert ids[0].isdisjoint(ids[1])


def test_each_sink_has_a_transactional_id_of_its_own() -> None:
    found = re.findall(r"'sink\.transactional-id-prefix' = '([^']+)'", _rendered())
    assert len(found) == len(set(found)) == _rendered().count("INSERT INTO")
    # Two ids of which one begins with the other would abort each other's transactions.
    assert not [(a, b) for a in found for b in found if a != b and b.startswith(a)]


@pytest.mark.parametrize("job", JOBS)
def test_a_job_tells_its_contract_and_is_one_statement_set(job: str) -> None:
    text = _texts()[job]
    header = text.split("\n\n")[0]
    for word in ("Source", "Output", "Keys", "Time", "Lateness", "State"):
        assert f"-- {word} " in header
    assert text.count("EXECUTE STATEMENT SET BEGIN") == text.count("\nEND;") == 1


@pytest.mark.parametrize("job", JOBS)
def test_a_job_says_how_long_it_remembers(job: str) -> None:
    """The jobs of a script share a session: without a TTL of its own a job would get that of the one before."""
    text = _texts()[job]
    (days,) = re.findall(r"^SET 'table\.exec\.state\.ttl' = '(\d+) d';$", text, re.MULTILINE)
    assert f"{int(days):,} days" in text.split("SET ")[0]


def test_payments_are_remembered_longer_than_they_may_be_late() -> None:
    text = _texts()["payments"]
    (days,) = re.findall(r"'table\.exec\.state\.ttl' = '(\d+) d'", text)
    (late,) = re.findall(r"TIMESTAMPADD\(DAY, -(\d+), watermark_time\)", text)
    assert int(days) > int(late) + 366  # sums of a year are written to until its end
    assert f"{int(late):,} days behind the watermark" in text
    assert f"more than {late} days older" in text


def test_a_payment_waits_as_long_as_it_is_remembered_and_longer() -> None:
    """The interval join tells at one and a half times the wait, when the other join must still remember."""
    sql = render(_texts()["payments"], brokers="b", topic_prefix="", account_wait_s=93_784)
    assert "INTERVAL '1 02:03:04' DAY TO SECOND" in sql
    assert "STATE_TTL('p' = '187568s'" in sql


def test_what_overtakes_its_payment_by_minutes_still_finds_it() -> None:
    """A payment that was attributed is no dead letter, even where a task stalls between the two."""
    sql = render(_texts()["payments"], brokers="b", topic_prefix="", account_wait_s=3600)
    assert "a.arrived BETWEEN p.arrived - INTERVAL '0 00:30:00' DAY TO SECOND AND" in sql
    # Both are told at one and three quarters of the wait at the latest, when the other join must still remember.
    assert "STATE_TTL('p' = '7200s'" in sql


def test_the_broker_keeps_transactions_as_long_as_the_sinks_ask() -> None:
    """A sink that asks for more than the broker allows does not start."""
    shared, _ = rendered_jobs(brokers="b:1", topic_prefix="", checkpoints="/c")
    asked = {int(found) for found in re.findall(r"'properties\.transaction\.timeout\.ms' = '(\d+)'", shared)}
    native = (INFRA / "templates" / "kafka.properties").read_text()
    containers = (INFRA / "compose.yaml").read_text()
    allowed = re.findall(r"^transaction\.max\.timeout\.ms=(\d+)$", native, re.MULTILINE)
    allowed += re.findall(r'KAFKA_TRANSACTION_MAX_TIMEOUT_MS: "(\d+)"', containers)
    assert len(allowed) == 2
    assert min(asked) >= 12 * 3600 * 1000
    assert max(asked) <= min(map(int, allowed))


def test_every_sink_sends_what_the_broker_takes() -> None:
    """Counted before compression; a dead letter is its record and the headers."""
    shared, _ = rendered_jobs(brokers="b:1", topic_prefix="", checkpoints="/c")
    tables = [text for text in shared.split("CREATE TABLE")[1:] if "LIKE" not in text]
    sinks = [text for text in tables if "'sink.delivery-guarantee'" in text]
    assert len(sinks) == 1
    (limit,) = re.findall(
        r"^message\.max\.bytes=(\d+)$", (INFRA / "templates" / "kafka.properties").read_text(), re.MULTILINE
    )
    specs = TopicNames().specs(partitions=1, source_partitions=1)
    letters = [spec.config["max.message.bytes"] for spec in specs if spec.name.endswith(".dlq")]
    assert min(map(int, letters)) >= int(limit) + 64 * 2**10
    for sink in sinks:
        (size,) = re.findall(r"'properties\.max\.request\.size' = '(\d+)'", sink)
        assert int(size) > int(limit) + 2**20


def test_a_job_goes_on_from_its_checkpoint_only() -> None:
    shared, jobs = rendered_jobs(brokers="b:1", topic_prefix="", checkpoints="/c")
    text = script(shared, [(jobs[0], "/c/some/chk-7"), (jobs[1], None)])
    first, second = text.split("SET 'pipeline.name'")[1:]
    assert "SET 'execution.state-recovery.path' = 'file:///c/some/chk-7';" in first
    assert "RESET 'execution.state-recovery.path';" in second


def test_another_text_has_other_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def places() -> dict[str, str]:
        _, jobs = rendered_jobs(brokers="b:1", topic_prefix="", checkpoints="/c")
        return {job.name: job.checkpoints for job in jobs}

    before = places()
    (tmp_path / "jobs").mkdir()
    for job, text in _texts().items():
        changed = text + "\n-- changed" if job == "events" else text
        (tmp_path / "jobs" / f"{job}.sql").write_text(changed)
    (tmp_path / "tables.sql").write_text((SQL_DIR / "tables.sql").read_text())
    shutil.copytree(SQL_DIR / "contracts", tmp_path / "contracts")
    monkeypatch.setattr("infra.flink.jobs.SQL_DIR", tmp_path)
    differing = {name for name, place in places().items() if place != before[name]}
    assert differing == {job_name("", "events")}


def test_another_jar_has_other_checkpoints_and_another_cache_has_not() -> None:
    """Functions and contracts are a part of the jobs; where the jar lies is not."""

    def places(jar: str) -> list[str]:
        _, jobs = rendered_jobs(brokers="b:1", topic_prefix="", checkpoints="/c", functions=jar)
        return [job.checkpoints for job in jobs]

    here, moved, changed = (places(f"{path}/functions.jar") for path in ("/a/f-1", "/b/f-1", "/a/f-2"))
    assert here == moved
    assert not {*here} & {*changed}


def test_tasks_and_state_are_those_of_the_settings_and_make_another_job() -> None:
    """So that an upgrade finds the difference, and goes on from a savepoint."""
    shared, before = rendered_jobs(brokers="b:1", topic_prefix="", checkpoints="/c")
    assert "SET 'parallelism.default' = '1';" in shared
    assert "SET 'state.backend.type' = 'hashmap';" in shared
    shared, after = rendered_jobs(
        brokers="b:1", topic_prefix="", checkpoints="/c", parallelism=4, state_backend="rocksdb"
    )
    assert "SET 'parallelism.default' = '4';" in shared
    assert "SET 'state.backend.type' = 'rocksdb';" in shared
    assert not {job.checkpoints for job in before} & {job.checkpoints for job in after}


def test_each_source_has_a_contract() -> None:
    assert {*source_topics()} == {*TopicNames().sources}


@pytest.mark.parametrize("prefix", ["a b", "x'; DROP TABLE t; --", "ä"])
def test_a_prefix_that_is_no_topics_is_refused(prefix: str) -> None:
    with pytest.raises(InfraError, match="not allowed"):
        render("", brokers="b", topic_prefix=prefix)
