"""`http`: the mix of the k6 test against a running worker, driven by k6 or wrk, on this machine alone.

The requests are drawn by the modules that k6 runs (load/k6/urls.js), so both send the same mix.
"""

import argparse
import ipaddress
import json
import subprocess
import urllib.parse
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final, TypedDict

from load.errors import LoadError
from load.generate.entities_csv import DEFAULT_PATH
from load.generate.options import positive
from load.measure.bare_server import bare_server
from load.measure.fetching import fetch
from load.measure.k6_run import is_installed, run_k6
from load.measure.thresholds import judge
from load.measure.wrk_run import MixResult, ensure_wrk, run_wrk
from load.own_key import use_own_key

_URLS_SCRIPT: Final = Path(__file__).parents[1] / "k6" / "urls.js"
_BASELINE_SECONDS: Final = 10
_BASELINE_TURNS: Final = 3
_BASELINE_BODIES: Final = 500


class Pace(TypedDict):
    """How hard wrk drives."""

    connections: int
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What a list of requests consists of, and the thresholds of the test that it belongs to."""

    kinds: dict[str, int]
    thresholds: dict[str, list[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--url", default="http://127.0.0.1:8888", help="loopback only (default %(default)s)")
    parser.add_argument("--seconds", type=positive, default=120, help="(default %(default)s)")
    parser.add_argument("--warm-up", type=int, default=10, help="seconds not counted (default %(default)s)")
    parser.add_argument("--connections", type=positive, default=32, help="(default %(default)s)")
    parser.add_argument("--threads", type=positive, default=1, help="of wrk (default %(default)s)")
    parser.add_argument("--csv", type=Path, default=DEFAULT_PATH, help="(default %(default)s)")
    parser.add_argument(
        "--count", type=positive, default=200_000, help="different requests, then again (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the requests (default 1)")
    parser.add_argument(
        "--driver",
        choices=("k6", "wrk"),
        help="what sends the requests: by default k6 where it is installed, else wrk",
    )
    parser.add_argument(
        "--baseline",
        action="store_true",
        help="measure a bare aiohttp handler with the same bodies too (by wrk)",
    )


def run(args: argparse.Namespace) -> int:
    """Drive the load and print the figures; 1 where a threshold does not hold."""
    base_url = require_loopback(args.url)
    use_own_key()
    if not args.csv.exists():
        raise LoadError(f"There is no {args.csv}; `python -m load entities-csv` exports it.")
    fetch(f"{base_url}/healthz")
    if (args.driver or ("wrk" if args.baseline or not is_installed() else "k6")) == "k6":
        return _by_k6(base_url, args)
    ensure_wrk()
    urls = args.csv.with_name("urls.txt")
    drawn = draw_requests(
        args.csv, urls, count=args.count, seed=args.seed, email_path=email_path(base_url, args.csv)
    )
    kinds = ", ".join(f"{n / args.count:.1%} {kind}" for kind, n in drawn.kinds.items())
    print(
        f"{base_url}: {args.connections} connections, {args.count:,} requests in turn ({kinds})", flush=True
    )

    pace = Pace(connections=args.connections, threads=args.threads)
    if args.warm_up > 0:
        print(f"warming up for {args.warm_up} s …", flush=True)
        warm = run_wrk(base_url, urls, seconds=args.warm_up, **pace)
        print(f"  {warm.requests_per_second:,.0f} requests/s, {warm.hit_rate:.1%} hits, not counted")
    print(f"measuring for {args.seconds} s …", flush=True)
    result = run_wrk(base_url, urls, seconds=args.seconds, **pace)
    verdicts = judge(drawn.thresholds, result)
    print("\nTHRESHOLDS", *(f"  {verdict}" for verdict in verdicts), sep="\n")
    print("\nRESULTS", *(f"  {line}" for line in figures(result)), sep="\n")
    if args.baseline:
        _compare(base_url, urls, seconds=min(args.seconds, _BASELINE_SECONDS), pace=pace)
    return 0 if all(verdict.passed for verdict in verdicts) else 1


def _by_k6(base_url: str, args: argparse.Namespace) -> int:
    if args.warm_up > 0:
        run_k6(base_url, args.csv, seconds=args.warm_up, users=args.connections, is_warm_up=True)
    return 0 if run_k6(base_url, args.csv, seconds=args.seconds, users=args.connections) else 1


def require_loopback(url: str) -> str:
    """The base URL without a trailing slash. Raises LoadError for any host that is not this machine."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if parts.scheme != "http" or not local:
        raise LoadError(f"{url} is not an http:// address of this machine; load is sent to 127.0.0.1 only.")
    return f"http://{parts.netloc}"


def figures(result: MixResult) -> list[str]:
    """What was measured, as lines."""
    shown = {f"p{p}": ms for p, ms in result.percentiles_ms.items()} | {"max": result.max_ms}
    return [
        f"requests    {result.requests:,} in {result.seconds:.1f} s: {result.requests_per_second:,.0f}/s",
        f"latency     {', '.join(f'{name} {ms:.2f} ms' for name, ms in shown.items())}",
        f"cache hits  {result.hit_rate:.2%} (answers for which PostgreSQL was asked nothing)",
        f"errors      {result.wrong:,} wrong answers, {result.failed:,} failed requests",
        f"received    {result.bytes / 1e6:,.1f} MB, {result.bytes / max(result.requests, 1):,.0f} bytes each",
    ]


def draw_requests(csv: Path, out: Path, *, count: int, seed: int, email_path: str) -> Drawn:
    """Write the list of requests. Raises LoadError."""
    command = ["node", str(_URLS_SCRIPT), "--csv", str(csv), "--out", str(out), "--count", str(count)]
    command += ["--seed", str(seed), "--email-path", email_path]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LoadError("Node.js is not installed; `apt-get install nodejs` installs it.") from None
    if done.returncode != 0:
        raise LoadError(f"The requests can't be drawn: {done.stderr.strip()}")
    told = json.loads(done.stdout)
    return Drawn(kinds=told["kinds"], thresholds=told["thresholds"])


def email_path(base_url: str, csv: Path) -> str:
    """The property by which the CSV's first user is found: `email.address`, or `email` where it is plain."""
    with csv.open(encoding="utf-8") as file:
        first = next(islice(file, 1, None), "")
    email = urllib.parse.quote(first.split(",")[1], safe="") if first.count(",") >= 2 else ""
    for path in ("email.address", "email"):
        if fetch(f"{base_url}/v1/graph/by-property/{path}/value/{email}?depth=1") != b"[]":
            return path
    raise LoadError(
        f"The service does not know the first user of {csv}; is it the file of another database? "
        "`python -m load entities-csv` exports it again."
    )


def _compare(base_url: str, urls: Path, *, seconds: int, pace: Pace) -> None:
    """Run both in turns: on a shared machine two runs a minute apart can't be compared."""
    with urls.open(encoding="utf-8") as file:
        bodies = [fetch(base_url + line.strip()) for line in islice(file, _BASELINE_BODIES)]
    print(f"\nBASELINE a bare aiohttp handler with {len(bodies)} of these bodies, in turns of {seconds} s")
    ratios = []
    with bare_server(bodies, urls.with_name("bodies.json")) as server:
        for _ in range(_BASELINE_TURNS):
            ours = run_wrk(base_url, urls, seconds=seconds, **pace)
            bare = run_wrk(server.url, urls, seconds=seconds, **pace)
            ratios.append(ours.requests_per_second / max(bare.requests_per_second, 1e-9))
            print(
                f"  service {ours.requests_per_second:,.0f}/s, p95 {ours.percentiles_ms[95]:.2f} ms; "
                f"bare {bare.requests_per_second:,.0f}/s, p95 {bare.percentiles_ms[95]:.2f} ms; "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    print(f"\nratio       {median(ratios):.2f} of the bare handler's requests/s (median)")
