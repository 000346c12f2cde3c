"""One page and one state of several processes, some of which do not answer."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.core.errors import TransientError
from app.observability import metrics
from app.ports.health import DependencyState
from app.worker.processes import pages
from app.worker.processes.channel import METRICS, READY, StatusServer, ask, socket_of
from app.worker.processes.pages import MergedMetrics, SiblingProbe, merged


def families(page: str) -> dict[str, list[dict[str, str]]]:
    found = list(text_string_to_metric_families(page))
    assert len({family.name for family in found}) == len(found), "a family stands twice"
    return {family.name: [sample.labels for sample in family.samples] for family in found}


def test_a_family_stands_once_with_the_samples_of_all() -> None:
    own = [metrics.exposition(process=name)[0].decode() for name in ("web", "cdc")]
    page = merged([*own, metrics.of_supervisor()[0].decode()])
    found = families(page)
    assert found.keys() == families(own[0]).keys()
    late = {labels["process"] for labels in found["profile_loop_late_seconds"]}
    assert late == {"web", "cdc"}
    resident = [labels["process"] for labels in found["process_resident_memory_bytes"]]
    assert resident == ["web", "cdc", "supervisor"]


def test_without_others_no_sample_bears_a_process() -> None:
    found = families(metrics.exposition()[0].decode())
    told = {name for name, samples in found.items() if any("process" in labels for labels in samples)}
    assert told <= {"profile_process_up", "profile_process_restarts"}


def test_who_has_no_cdc_tells_nothing_of_the_slot() -> None:
    assert "profile_cdc_slot_safe_bytes" in metrics.exposition()[0].decode()
    assert "profile_cdc_" not in metrics.exposition(with_cdc=False)[0].decode()


async def test_metrics_of_who_answers(tmp_path: Path) -> None:
    async def page() -> bytes:
        return b'# HELP up It.\n# TYPE up gauge\nup{process="cdc"} 1.0\n'

    server = StatusServer(socket_of(tmp_path, "cdc"), {METRICS: page})
    await server.start()
    own = b'# HELP up It.\n# TYPE up gauge\nup{process="web"} 1.0\n'
    told = MergedMetrics(lambda: (own, "text/plain"), tmp_path, ["cdc", "gone"])
    try:
        body, content_type = await told.page()
    finally:
        await server.close()
    assert content_type == "text/plain"
    assert families(body.decode()) == {"up": [{"process": "web"}, {"process": "cdc"}]}


async def test_states_bear_the_process_that_tells_them(tmp_path: Path) -> None:
    stuck = DependencyState(name="partitions", ready=False, required=True, detail="stands still")

    async def states() -> bytes:
        return msgspec.json.encode([stuck])

    server = StatusServer(socket_of(tmp_path, "ingest"), {READY: states})
    await server.start()
    try:
        found = await SiblingProbe(tmp_path, "ingest").check()
    finally:
        await server.close()
    assert [(s.name, s.ready, s.process) for s in found] == [
        ("process ingest", True, None),
        ("partitions", False, "ingest"),
    ]


async def test_who_does_not_run_or_answer_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_LIMIT_S", 0.2)

    async def never() -> bytes:
        await asyncio.sleep(60)
        return b""

    server = StatusServer(socket_of(tmp_path, "silent"), {READY: never})
    await server.start()
    try:
        for name, why in (("gone", "does not answer"), ("silent", "no answer within 0.2 s")):
            (state,) = await SiblingProbe(tmp_path, name).check()
            assert (state.name, state.ready, state.required) == (f"process {name}", False, True)
            assert why in state.detail
    finally:
        await server.close()


async def test_a_question_that_is_not_known_has_no_answer(tmp_path: Path) -> None:
    server = StatusServer(socket_of(tmp_path, "web"), {})
    await server.start()
    try:
        with pytest.raises(TransientError):
            await ask(tmp_path, "web", "secrets", limit_s=2)
    finally:
        await server.close()
