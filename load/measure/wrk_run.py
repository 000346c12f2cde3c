"""Runs wrk with the Lua script of the mix and reads what it counted."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.errors import InfraError
from infra.install.apt import ensure_programs
from infra.settings import InfraSettings
from load.errors import LoadError
from load.measure.cores import pinned

SCRIPT: Final = Path(__file__).parents[1] / "wrk" / "mix.lua"


@dataclass(frozen=True, slots=True, kw_only=True)
class MixResult:
    """One run. Times in milliseconds; `hits` asked PostgreSQL nothing; `wrong` fails a check."""

    seconds: float
    requests: int
    bytes: int
    answers: int
    hits: int
    wrong: int
    failed: int  # status above 399, lost connections, time-outs
    percentiles_ms: dict[int, float]  # 50, 90, 95, 99
    max_ms: float

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def hit_rate(self) -> float:
        return self.hits / self.answers if self.answers else 0.0

    @property
    def error_rate(self) -> float:
        lost = self.failed if not self.answers else 0
        return min(1.0, (self.wrong + lost) / max(self.answers, 1))

    @property
    def failed_rate(self) -> float:
        return min(1.0, self.failed / max(self.requests, 1))


def ensure_wrk() -> None:
    """Install wrk where it is missing (Debian, as root). Raises LoadError."""
    try:
        ensure_programs(InfraSettings(), {"wrk": "wrk"})
    except InfraError as error:
        raise LoadError(f"wrk is not installed, and can't be: {error}") from None


def run_wrk(
    base_url: str,
    urls: Path,
    *,
    seconds: int,
    connections: int,
    threads: int = 1,
    core: int | None = None,
    with_checks: bool = True,
) -> MixResult:
    """Send the requests of `urls` for that long, from one core where it is given.

    Without checks wrk is faster, and knows of hits and wrong answers nothing: `answers` is 0.

    Raises LoadError where wrk is missing or fails.
    """
    command = [
        "wrk",
        f"--duration={seconds}s",
        f"--connections={connections}",
        f"--threads={threads}",
        "--timeout=10s",
        f"--script={SCRIPT}",
        base_url,
        "--",
        str(urls),
        str(threads),
        *([] if with_checks else ["plain"]),
    ]
    try:
        done = subprocess.run(
            pinned(command, core), capture_output=True, text=True, check=False, timeout=seconds + 60
        )
    except FileNotFoundError:
        raise LoadError("wrk is not installed; `apt-get install wrk` installs it.") from None
    except subprocess.TimeoutExpired:
        raise LoadError("wrk did not end within a minute of its time; is the service hanging?") from None
    if done.returncode != 0:
        raise LoadError(f"wrk failed: {(done.stderr or done.stdout).strip() or done.returncode}")
    return parse(done.stdout)


def parse(output: str) -> MixResult:
    """Read the RESULT line of the script. Raises LoadError where there is none."""
    line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
    if line is None:
        raise LoadError(f"wrk printed no result: {output.strip()[-300:]}")
    told: dict[str, int] = json.loads(line.removeprefix("RESULT "))
    return MixResult(
        seconds=told["duration_us"] / 1e6,
        requests=told["requests"],
        bytes=told["bytes"],
        answers=told["answers"],
        hits=told["hits"],
        wrong=told["wrong"],
        failed=told["status_errors"] + told["socket_errors"] + told["timeouts"],
        percentiles_ms={p: told[f"p{p}_us"] / 1000 for p in (50, 90, 95, 99)},
        max_ms=told["max_us"] / 1000,
    )
