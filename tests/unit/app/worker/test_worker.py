"""Roles decide what a worker consists of; no server is needed to build one.

The tests are coroutines, since Faust makes an event loop of its own where none runs.
"""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from app.config.settings import Role, Settings
from app.core.audit import AuditReport
from app.core.erasure import DeletionsUnderWay
from app.core.models import Batch
from app.worker.bulk_transport import BulkTransport
from app.worker.worker import Worker
from tests.rows import entity
from tests.unit.app.fakes import HeldWriter, terminate


class NoDeletions:
    """There is nothing to delete."""

    pause_s = 1.0

    async def wanted(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)

    async def under_way(self) -> DeletionsUnderWay:
        return DeletionsUnderWay(deletions=0, rows_left=0, still_s=0, slot_has_room=True)


def worker(*roles: Role, **settings: Any) -> Worker:
    return Worker(Settings(roles=list(roles), topic_prefix="t.", **settings), leave=terminate)


@pytest.mark.parametrize(
    ("roles", "agents"),
    [
        (list(Role), {"entities-edges", "entity-properties", "temporal-data", "cdc"}),
        ([Role.TEMPORAL_DATA], {"temporal-data"}),
        ([Role.CDC, Role.WEB], {"cdc"}),
        ([Role.WEB], set()),
    ],
)
async def test_only_the_agents_of_the_roles_are_registered(roles: list[Role], agents: set[str]) -> None:
    assert set(worker(*roles).app.agents) == agents


async def test_each_set_of_roles_is_a_group_of_its_own() -> None:
    groups = [worker(*roles).app.conf.id for roles in (list(Role), [Role.CDC], [Role.CDC, Role.WEB])]
    assert groups == ["user-profile", "user-profile-cdc", "user-profile-cdc-web"]


async def test_the_web_alone_needs_no_kafka() -> None:
    app = worker(Role.WEB).app
    assert app.producer_only
    assert list(app.boot_strategy.producer_only()) == [app.web_service]


async def test_a_worker_without_the_web_listens_on_nothing() -> None:
    app = worker(Role.CDC).app
    assert not app.producer_only
    assert list(app.boot_strategy.web_server()) == []


async def test_the_web_starts_before_the_consumer_and_stops_after_it() -> None:
    app = worker(*Role).app
    services = [type(service).__name__ for service in app.boot_strategy.server()]
    app.consumer._thread.thread_loop.close()  # made with the thread, which does not run
    assert services.index("WebService") < services.index("BulkConsumer")


async def test_records_are_read_in_bulk_from_the_start() -> None:
    app = worker(*Role).app
    assert isinstance(app.transport, BulkTransport)
    assert app.conf.consumer_auto_offset_reset == "earliest"
    assert not app.conf.autodiscover
    assert app.conf.table_standby_replicas == 0


async def test_what_the_web_accepted_is_written_before_the_stores_close() -> None:
    web, writer = worker(Role.WEB), HeldWriter()
    stores: Any = SimpleNamespace(writer=writer)
    web._stores = stores
    written_at_close: list[int] = []
    web._resources.callback(lambda: written_at_close.append(len(writer.committed)))
    writing = asyncio.create_task(web._shared_writer().write(Batch(entities=[entity("a")])))
    await asyncio.sleep(0)
    closing = asyncio.create_task(web._close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    writer.gate.set()
    await asyncio.gather(writing, closing)
    assert written_at_close == [1]


@pytest.mark.parametrize(("interval_s", "audits"), [(0.001, True), (0, False)])
async def test_the_web_audits_its_caches_until_it_closes(
    interval_s: float, audits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = asyncio.Event()

    class Auditor:
        async def audit(self, *, sample: int, grace_s: float, repair: bool = False) -> AuditReport:
            called.set()
            return AuditReport(checked={}, mismatches=[])

    async def nothing(*_: object) -> None:
        pass

    async def opened(*_: object, **__: object) -> Any:
        return SimpleNamespace(
            figures=lambda: None,
            auditor=Auditor(),
            deletions=NoDeletions(),
            pieces=SimpleNamespace(),
            close=nothing,
        )

    monkeypatch.setattr("app.worker.worker.require_current", nothing)
    monkeypatch.setattr("app.worker.worker.Stores.open", opened)
    web = worker(Role.WEB, audit_interval_s=interval_s, placeholder_interval_s=0)
    await web._open()
    if audits:
        await asyncio.wait_for(called.wait(), 5)
    else:
        await asyncio.sleep(0.02)
    assert called.is_set() == audits
    await web._close()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "cache-audit"]


async def test_a_worker_deletes_what_erasures_left_until_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    class Deletions(NoDeletions):
        async def under_way(self) -> DeletionsUnderWay:
            asked.set()
            return await super().under_way()

    async def nothing(*_: object) -> None:
        pass

    async def opened(*_: object, **__: object) -> Any:
        return SimpleNamespace(
            figures=lambda: None, deletions=Deletions(), pieces=SimpleNamespace(), close=nothing
        )

    monkeypatch.setattr("app.worker.worker.require_current", nothing)
    monkeypatch.setattr("app.worker.worker.Stores.open", opened)
    web = worker(Role.WEB, audit_interval_s=0, placeholder_interval_s=0)
    await web._open()
    await asyncio.wait_for(asked.wait(), 5)
    await web._close()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "deletions"]


@pytest.mark.parametrize(("interval_s", "merges"), [(0.001, True), (0, False)])
async def test_a_worker_merges_placeholders_until_it_closes(
    interval_s: float, merges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = asyncio.Event()

    class Merger:
        def waiting(self) -> int:
            return 0

        def still_s(self) -> float:
            return 0.0

        async def merge(self) -> int | None:
            called.set()
            return 0

    async def nothing(*_: object) -> None:
        pass

    async def opened(*_: object, **__: object) -> Any:
        return SimpleNamespace(
            figures=lambda: None,
            placeholders=Merger(),
            deletions=NoDeletions(),
            pieces=SimpleNamespace(),
            close=nothing,
        )

    monkeypatch.setattr("app.worker.worker.require_current", nothing)
    monkeypatch.setattr("app.worker.worker.Stores.open", opened)
    web = worker(Role.WEB, audit_interval_s=0, placeholder_interval_s=interval_s)
    await web._open()
    if merges:
        await asyncio.wait_for(called.wait(), 5)
    else:
        await asyncio.sleep(0.02)
    assert called.is_set() == merges
    await web._close()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "placeholders"]
