"""Reading what the Lua script prints, and a run against a server in the process."""

import asyncio
import shutil
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler

from load.errors import LoadError
from load.measure.wrk_run import MixResult, parse, run_wrk

OUTPUT = """Running 2s test @ http://127.0.0.1:8888
  1 threads and 8 connections
Requests/sec:   5000.00
RESULT {"duration_us": 2000000, "requests": 10000, "bytes": 5000000, "answers": 9990, "hits": 4995,\
 "wrong": 111, "status_errors": 5, "socket_errors": 3, "timeouts": 2, "p50_us": 500, "p90_us": 900,\
 "p95_us": 1500, "p99_us": 2500, "max_us": 12000}
"""


def test_reads_counts_and_turns_microseconds_into_milliseconds() -> None:
    result = parse(OUTPUT)
    assert result.requests_per_second == 5000
    assert result.percentiles_ms == {50: 0.5, 90: 0.9, 95: 1.5, 99: 2.5}
    assert result.max_ms == 12
    assert result.hit_rate == 0.5
    assert result.failed == 10
    assert result.failed_rate == 0.001
    assert result.error_rate == pytest.approx(111 / 9990)


def test_output_without_result_is_an_error() -> None:
    with pytest.raises(LoadError, match="no result: unable to connect"):
        parse("unable to connect\n")


def test_a_run_without_answers_divides_by_nothing() -> None:
    result = MixResult(
        seconds=0,
        requests=0,
        bytes=0,
        answers=0,
        hits=0,
        wrong=0,
        failed=7,
        percentiles_ms={},
        max_ms=0,
    )
    assert (result.requests_per_second, result.hit_rate) == (0, 0)
    assert result.error_rate == 1
    assert result.failed_rate == 1


def test_missing_wrk_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LoadError, match="apt-get install wrk"):
        run_wrk("http://127.0.0.1:1", tmp_path / "urls", seconds=1, connections=1, threads=1)


ANSWERS = [
    (200, "u; hit", '{"id":1}'),
    (200, 'u; fwd=miss; detail="a; hit"', '[{"id":1}]'),
    (200, "u; hit=?0", "[]"),
    (503, "u; fwd=bypass", "{}"),
]


async def run_against(answer: Handler, urls: Path, *, with_checks: bool = True) -> MixResult:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        return await asyncio.to_thread(
            run_wrk, url, urls, seconds=1, connections=1, threads=1, with_checks=with_checks
        )
    finally:
        await runner.cleanup()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
async def test_the_script_counts_hits_wrong_answers_and_failures(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        status, source, body = ANSWERS[len(asked) % len(ANSWERS)]
        asked.append(request.path_qs)
        return web.Response(status=status, body=body, headers={"Cache-Status": source})

    urls = tmp_path / "urls.txt"
    urls.write_text("/v1/graph/1?depth=1\n/v1/graph/by-property/email/value/a%40b?depth=2\n")
    result = await run_against(answer, urls)
    assert result.answers > 20
    assert set(asked) == set(urls.read_text().split())
    assert asked[:2] == asked[2:4]  # in turn; wrk calls request() once more before it starts
    quarter = result.answers / 4
    assert result.hits == pytest.approx(quarter, abs=2)
    assert result.wrong == pytest.approx(2 * quarter, abs=2)
    assert result.failed == pytest.approx(quarter, abs=2)
    assert 0 < result.percentiles_ms[50] <= result.percentiles_ms[99] <= result.max_ms


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
async def test_without_checks_requests_are_sent_and_answers_not_looked_at(tmp_path: Path) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(status=503 if len(asked) % 2 else 200, body="?")

    urls = tmp_path / "urls.txt"
    urls.write_text("/a\n/b\n")
    result = await run_against(answer, urls, with_checks=False)
    assert result.requests > 20
    assert asked[:4] in (["/a", "/b", "/a", "/b"], ["/b", "/a", "/b", "/a"])
    assert (result.answers, result.hits, result.wrong) == (0, 0, 0)
    assert result.failed == pytest.approx(result.requests / 2, abs=2)
