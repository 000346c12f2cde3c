"""Runs of the single paths of a read, and their table."""

import random
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from load.bench.read_bench import BARE, SERVICE, ReadBench
from load.bench.read_paths import ReadPath
from load.measure.bare_server import bare_server
from load.measure.baseline import Source
from load.measure.read_samples import COSTS, Sample, costs, cpu_ratio, ratios, table, traffic
from load.measure.spread import spread
from load.measure.thresholds import Verdict
from load.measure.web_worker import web_worker
from load.measure.wrk_run import run_wrk

if TYPE_CHECKING:
    from load.measure.processes import Server

_WARM_UP_S: Final = 2
REDIS_PY: Final = "bare + GET (redis-py)"
OWN_GET: Final = "bare + GET (our client)"
_WITH_REDIS: Final[tuple[tuple[str, Source], ...]] = ((REDIS_PY, "redis-py"), (OWN_GET, "redis"))
_HEADER: Final = [
    *("path", "server", "requests/s", "p50 ms", "p99 ms", "bytes", "service to it", "by CPU", *COSTS)
]


def measure(bench: ReadBench, paths: Sequence[ReadPath], *, connections: int) -> list[Verdict]:
    """Measure the paths one after the other, and print a table of all."""
    rows: list[list[str]] = []
    verdicts = []
    for path in paths:
        print(f"- {path.name}: {path.summary}", flush=True)
        found = _measure_path(bench, path, connections)
        rows += [_row(path.name, server, samples, found[SERVICE]) for server, samples in found.items()]
        if path.floor is not None:
            verdicts.append(_judge(path, found))
    print(
        f"\n{connections} connections, medians of {bench.rounds} rounds of {bench.seconds} s (least to most); "
        "CPU in ms for each request\n"
    )
    print(table(_HEADER, rows), flush=True)
    return verdicts


def _row(path: str, server: str, samples: Sequence[Sample], ours: Sequence[Sample]) -> list[str]:
    times = traffic(samples, percentiles=[50, 99])
    compared = [spread(ratios(ours, samples), "{:.2f}"), f"{cpu_ratio(ours, samples):.2f}"]
    return [path, server, *times, *(["", ""] if server == SERVICE else compared), *costs(samples)]


def _judge(path: ReadPath, found: dict[str, list[Sample]]) -> Verdict:
    other, floor = (REDIS_PY if path.with_redis else BARE), path.floor or 0.0
    ratio = median(ratios(found[SERVICE], found[other]))
    return Verdict(
        metric=f"{path.name} to {other}",
        expression=f">= {floor:.2f}",
        measured=f"{ratio:.2f}",
        passed=ratio >= floor,
    )


def _measure_path(bench: ReadBench, path: ReadPath, connections: int) -> dict[str, list[Sample]]:
    environment = {**path.environment, "PROFILE_CACHE_PREFIX": f"{bench.name}-{path.name}"}
    core = bench.cores.server
    with ExitStack() as running:
        service = running.enter_context(web_worker(environment, core=core))
        if path.is_filled:
            bench.fill(service)
        checked = run_wrk(
            service.url,
            _draw(bench, path, "warm-up"),
            seconds=_WARM_UP_S,
            connections=connections,
            core=bench.cores.client,
        )
        print(f"  warm-up: {checked.hit_rate:.1%} hits, {checked.wrong:,} wrong answers", flush=True)
        bodies = bench.bodies(service, _draw(bench, path, "bodies"))
        servers: dict[str, Server] = {SERVICE: service}
        saved = bench.directory / "bodies.json"
        servers[BARE] = running.enter_context(bare_server(bodies, saved, core=core))
        if path.with_redis:
            for label, source in _WITH_REDIS:
                servers[label] = running.enter_context(bare_server(bodies, saved, source=source, core=core))
        found: dict[str, list[Sample]] = defaultdict(list)
        for turn in range(bench.rounds):
            urls = _draw(bench, path, turn)
            for label in bench.order(servers, turn):
                found[label].append(bench.sample(servers[label], urls, connections=connections))
    return found


def _draw(bench: ReadBench, path: ReadPath, turn: int | str) -> Path:
    # A list that was sent already would find whole answers.
    seed = bench.seed_of("" if path.is_repeated else str(turn))
    urls = bench.directory / "urls.txt"
    drawn = path.draw(bench.ids, random.Random(seed), bench.now)
    urls.write_text("\n".join(drawn) + "\n", encoding="utf-8")
    return urls
