"""A minute of writes and reads, with a lagging replica, workers killed at named places and Redis nodes lost.

Every answer is checked against the history of writes. After an acknowledgement an older answer may be given for as
long as a notification is on its way, which is measured; a write whose worker died between its commit and its
notification is told apart: CDC repeats it.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from app.config.settings import Role, Settings
from storage.stores import Stores
from tests.e2e.history import History
from tests.e2e.lives import Lives
from tests.e2e.own_stack import OwnStack
from tests.e2e.told_by_topic import ToldByTopic
from tests.e2e.traffic import USERS, Traffic
from tests.e2e.workers import Worker, until_logged
from tests.stack import application_settings, own_connector, own_database, own_topics

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(420)]

FAULTS_S = float(os.environ.get("FAULTS_S", "60"))
SHORT_S = 20.0  # for CI
PATIENCE_S = 60.0  # on a busy machine it takes longer until everybody has died everywhere
NOTIFIED_S = 1.0
# What a killed worker did not tell: Debezium's poll, a record's way, a batch, on a busy machine.
REPEATED_S = 10.0
REDIS_KILLED_EVERY_S = 9.0
HELD_S = 1.5
LATE_S = 2.5
# How often a place is passed first: a life of some seconds.
WEB_HOOKS = (
    ("after-commit:kill:20", "between-data-and-store:kill:50", "between-position-and-data:kill:60"),
    ("between-position-and-data:kill:50", "after-commit:kill:25", "between-data-and-store:kill:60"),
)
HOLDS = ("between-data-and-store:hold:15", "between-position-and-data:hold:20")
PLACES = {
    "after-commit kill",
    "between-position-and-data kill",
    "between-data-and-store kill",
    "between-data-and-store hold",
}
SERVICES = ("postgres", "redis", "kafka", "connect")


@pytest.fixture
async def minute_settings(own_stack: OwnStack, run_id: str) -> AsyncIterator[Settings]:
    """A database, its changes in a topic, and one replica two seconds behind: all on the own stack."""
    await asyncio.to_thread(own_stack.start, *SERVICES)
    servers = own_stack.settings
    name = f"test_{run_id}"
    async with own_database(servers, name) as database:
        settings = application_settings(
            servers, database=database, topic_prefix=f"t-{run_id}.", cache_prefix=f"t-{run_id}"
        )
        async with (
            own_topics(settings),
            own_connector(servers, settings, name),
            held_back(servers.postgres_dsn(2, database="postgres"), "2s"),
        ):
            yield settings


@asynccontextmanager
async def held_back(dsn: str, delay: str) -> AsyncIterator[None]:
    """The replica replays each commit that long after it."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'")
        await connection.execute("SELECT pg_reload_conf()")
        yield
    finally:
        await connection.execute("ALTER SYSTEM RESET recovery_min_apply_delay")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()


async def loses_redis_nodes(own_stack: OwnStack) -> None:
    """One node after the other, each started again at once, without a key."""
    for turn in range(1_000):
        await asyncio.sleep(REDIS_KILLED_EVERY_S)
        await asyncio.to_thread(own_stack.restart_redis_empty, turn % 3)


async def releases(hold: Path) -> None:
    """Whoever is held at a hook goes on after a moment."""
    while True:
        hold.touch()  # noqa: ASYNC240 - a file without content
        await asyncio.sleep(HELD_S)
        hold.unlink()  # noqa: ASYNC240
        await asyncio.sleep(0.1)


async def comes_late(pid: int) -> None:
    """The worker that repeats invalidations from CDC stands still most of the time, or it would heal all else."""
    try:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(LATE_S)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.7)
    finally:
        os.kill(pid, signal.SIGCONT)


async def lags(dsn: str, seen: list[float]) -> None:
    """How old what the replica replays is, each half second."""
    connection = await asyncpg.connect(dsn)
    try:
        while True:
            await asyncio.sleep(0.5)
            age = await connection.fetchval(
                "SELECT extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float"
            )
            seen.append(age or 0.0)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    "faults_s", [pytest.param(SHORT_S, marks=pytest.mark.ci, id="short"), pytest.param(FAULTS_S, id="whole")]
)
async def test_no_answer_is_older_than_a_notification_takes(  # noqa: PLR0915 - the minute as it goes
    own_stack: OwnStack,
    minute_settings: Settings,
    tmp_path: Path,
    unused_tcp_port_factory: Callable[[], int],
    faults_s: float,
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    settings, history = minute_settings, History()
    topics = ToldByTopic(settings.model_copy(update={"roles": [Role.ENTITY_PROPERTIES]}), history, seed=seed)
    hold = tmp_path / "hold"
    common = {"PROFILE_POSTGRES_POOL_SIZE": "5", "PROFILE_COMMIT_INTERVAL_S": "0.05"}
    # The third one lives on, so that reads go on however long the others take to start again.
    ports = [unused_tcp_port_factory() for _ in range(3)]
    webs = [
        Lives(
            settings.model_copy(update={"roles": [Role.WEB], "web_port": port}),
            tmp_path / f"web{n}",
            [f"{kill},{HOLDS[(n + life) % 2]}" for life, kill in enumerate(WEB_HOOKS[n])],
            ready="listening on",
            PROFILE_HOOKS_HOLD=str(hold),
            **common,
        )
        for n, port in enumerate(ports[:2])
    ]
    agents = Lives(
        settings.model_copy(update={"roles": [Role.ENTITY_PROPERTIES]}),
        tmp_path / "agents",
        ["after-commit:kill:15", ""],
        ready="Executing _on_partitions_assigned",
        died=topics.interrupt,
        **common,
    )
    traffic = Traffic([f"http://127.0.0.1:{port}" for port in ports], history, seed=seed)
    lag: list[float] = []
    # So the second write of a pair meets a fill that has read the first.
    held = {"PROFILE_HOOKS": "between-data-and-store:holds:5", "PROFILE_HOOKS_HOLD": str(hold)}
    cdc = settings.model_copy(update={"roles": [Role.CDC]})
    steady = settings.model_copy(update={"roles": [Role.WEB], "web_port": ports[2]})
    with (
        Worker(cdc, tmp_path / "cdc.log", **common) as repeater,
        Worker(steady, tmp_path / "steady.log", **common, **held) as survivor,
    ):
        lives = [asyncio.create_task(each.run()) for each in (*webs, agents)]
        async with asyncio.timeout(120):
            await asyncio.gather(*(each.started.wait() for each in (*webs, agents)))
            await until_logged(repeater, "Executing _on_partitions_assigned", within_s=120)
            await until_logged(survivor, "listening on", within_s=120)
        await traffic.populate()
        users = [f"u{i}" for i in range(USERS)]
        writing = [
            *(asyncio.create_task(traffic.writes_users(user)) for user in users),
            *(asyncio.create_task(traffic.writes_points(user)) for user in users[:3]),
            *(asyncio.create_task(traffic.writes_in_pairs(user)) for user in traffic.quiet),
            asyncio.create_task(topics.writes(users[3:])),
        ]
        reading = [
            *(asyncio.create_task(traffic.reads()) for _ in range(4)),
            *(asyncio.create_task(traffic.reads_in_a_session()) for _ in range(2)),
        ]
        faults = [
            asyncio.create_task(loses_redis_nodes(own_stack)),
            asyncio.create_task(releases(hold)),
            asyncio.create_task(comes_late(repeater.process.pid)),
            asyncio.create_task(topics.acknowledges()),
            asyncio.create_task(lags(own_stack.settings.postgres_dsn(2), lag)),
        ]
        began = time.monotonic()
        try:
            while (lasted := time.monotonic() - began) < faults_s or (
                not hits_of(webs).keys() >= PLACES and lasted < faults_s + PATIENCE_S
            ):
                ended = [task for task in (*lives, *writing, *reading, *faults) if task.done()]
                for task in ended:
                    task.result()
                assert not ended, "one of them ended early"
                await asyncio.sleep(0.1)
            faults[0].cancel()
            traffic.ending = topics.ending = True
            await asyncio.gather(*writing, *reading)
            await topics.settled(within_s=120)
            await asyncio.to_thread(own_stack.start, "redis")
            stale = await audited(settings)
            for each in (*webs, agents):
                each.stop()
            await asyncio.gather(*lives)
        finally:
            for task in (*lives, *writing, *reading, *faults):
                task.cancel()
            await asyncio.gather(*lives, *writing, *reading, *faults, return_exceptions=True)
            await traffic.close()
        for each in (repeater, survivor):
            assert each.process.poll() is None, f"It ended:\n{each.log[-3000:]}"

    hits = hits_of([*webs, agents])
    notified, repeated = (history.delays(interrupted=each) for each in (False, True))
    print(  # noqa: T201
        f"\nseed {seed}; notification delay: {notified}\nkilled after the commit, by CDC: {repeated}\n"
        f"{traffic.statuses['POST 202']} POSTs, {traffic.statuses['GET 200']} reads, "
        f"{traffic.statuses['POST 503']} and {traffic.statuses['GET 503']} refused\n"
        f"{dict(hits)}\n{dict(traffic.statuses)}\n{dict(traffic.outcomes)}\n"
        f"lag of the held replica: up to {max(lag):.1f} s"
    )
    assert not history.broken_tokens, history.broken_tokens[:5]
    assert not (late := history.late(limit_s=NOTIFIED_S, interrupted=False)), late[:5]
    assert not (late := history.late(limit_s=REPEATED_S, interrupted=True)), late[:5]
    assert not stale
    assert hits.keys() >= PLACES, "not everybody died, or was held, where it should"
    assert len(repeated) > 0
    assert max(lag) > 1.5, "the replica was not behind"
    assert traffic.outcomes["hit"] > sum(traffic.outcomes.values()) / 10, "the caches were hardly used"


def hits_of(lives: Sequence[Lives]) -> Counter[str]:
    """How often workers were killed or held at each place."""
    return sum((each.hits for each in lives), Counter[str]())


async def audited(settings: Settings) -> list[object]:
    """What is cached and differs from the primary."""
    stores = await Stores.open(settings.model_copy(update={"roles": []}))
    try:
        return list((await stores.auditor.audit(sample=500, grace_s=2)).mismatches)
    finally:
        await stores.close()
