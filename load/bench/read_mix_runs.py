"""Runs of the k6 mix with several numbers of connections, with and without writes beside it, and their table."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from load.bench.mix import draw_requests
from load.bench.read_bench import BARE, SERVICE, ReadBench
from load.measure.bare_server import bare_server
from load.measure.processes import Server
from load.measure.read_samples import COSTS, Sample, costs, cpu_ratio, hit_rate, ratios, table, traffic
from load.measure.spread import spread
from load.measure.thresholds import Verdict
from load.measure.web_worker import web_worker
from load.measure.write_side import WriteSide, write_side
from load.measure.wrk_run import run_wrk

_REQUESTS: Final = 200_000  # more than a run sends, so that none comes twice
_RATIO, _HITS = 0.6, 0.95
_HEADER: Final = [
    *("connections", "writes/s", "server", "requests/s", "p95 ms", "bytes", "service to it", "by CPU"),
    *(*COSTS, "hits", "wrong"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured with one number of connections: a run with checks, and rounds without."""

    checked: Sample
    rounds: dict[str, list[Sample]]


def measure(
    bench: ReadBench, *, connections: Sequence[int], writes: Sequence[int], warm_up_s: int
) -> list[Verdict]:
    """Measure each number of connections with each rate of writes, and print a table of all."""
    rows: list[list[str]] = []
    verdicts = []
    for rate in writes:
        for count, found in _measure(bench, connections, rate, warm_up_s).items():
            rows += [_row(count, server, found) for server in found.rounds]
            verdicts += _judge(f"{count:,} connections, {rate} writes/s", found)
    print(
        f"\nThe mix, medians of {bench.rounds} rounds of {bench.seconds} s (least to most); "
        "CPU in ms for each request\n"
    )
    print(table(_HEADER, rows), flush=True)
    return verdicts


def _measure(bench: ReadBench, connections: Sequence[int], rate: int, warm_up_s: int) -> dict[int, Found]:
    name, core = f"{bench.name}-{rate}", bench.cores.server
    settings = bench.settings.model_copy(update={"cache_prefix": name})
    with ExitStack() as running:
        service = running.enter_context(web_worker({"PROFILE_CACHE_PREFIX": name}, core=core))
        writes = None
        if rate:
            writes = running.enter_context(write_side(settings, name, rate=rate, core=bench.cores.beside))
        bench.fill(service)
        bench.fill_lookups(service)
        urls = _draw(bench, "warm-up")
        run_wrk(service.url, urls, seconds=warm_up_s, connections=min(connections), core=bench.cores.client)
        bodies = bench.bodies(service, urls)
        bare = running.enter_context(bare_server(bodies, bench.directory / "bodies.json", core=core))
        servers = {SERVICE: service, BARE: bare}
        return {count: _rounds(bench, servers, count, writes) for count in connections}


def _rounds(
    bench: ReadBench, servers: dict[str, Server], connections: int, writes: WriteSide | None
) -> Found:
    rounds: dict[str, list[Sample]] = defaultdict(list)
    urls = _draw(bench, f"{connections} checked")
    checked = bench.sample(servers[SERVICE], urls, connections=connections, writes=writes, with_checks=True)
    for turn in range(bench.rounds):
        urls = _draw(bench, f"{connections} {turn}")
        for label in bench.order(servers, turn):
            sample = bench.sample(servers[label], urls, connections=connections, writes=writes)
            rounds[label].append(sample)
    return Found(checked=checked, rounds=rounds)


def _draw(bench: ReadBench, turn: str) -> Path:
    urls = bench.directory / "urls.txt"
    seed = bench.seed_of(turn)
    draw_requests(bench.csv, urls, count=_REQUESTS, seed=seed, email_path=bench.email_path)
    return urls


def _row(connections: int, server: str, found: Found) -> list[str]:
    samples, ours = found.rounds[server], found.rounds[SERVICE]
    written = [sample.written_per_s for sample in samples if sample.written_per_s is not None]
    if server == SERVICE:
        compared = ["", ""]
        checked = [f"{found.checked.result.hit_rate:.2%}", f"{found.checked.result.wrong:,}"]
    else:
        compared = [spread(ratios(ours, samples), "{:.2f}"), f"{cpu_ratio(ours, samples):.2f}"]
        checked = ["", ""]
    return [
        f"{connections:,}",
        f"{median(written):,.0f}" if written else "0",
        server,
        *traffic(samples, percentiles=[95]),
        *compared,
        *costs(samples),
        *checked,
    ]


def _judge(what: str, found: Found) -> list[Verdict]:
    ours = found.rounds[SERVICE]
    ratio, hits = median(ratios(ours, found.rounds[BARE])), hit_rate(found.checked, ours)
    return [
        Verdict(
            metric=f"{what}: to {BARE}",
            expression=f">= {_RATIO}",
            measured=f"{ratio:.2f}",
            passed=ratio >= _RATIO,
        ),
        Verdict(
            metric=f"{what}: hits",
            expression=f">= {_HITS:.0%}",
            measured=f"{hits:.2%}",
            passed=hits >= _HITS,
        ),
    ]
