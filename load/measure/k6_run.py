"""Runs the k6 script of the mix in k6 itself."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from load.errors import LoadError

SCRIPT: Final = Path(__file__).parents[1] / "k6" / "graph.js"
_THRESHOLDS_FAILED: Final = 99  # k6's exit code


def is_installed() -> bool:
    """Whether k6 is on PATH."""
    return shutil.which("k6") is not None


def command(base_url: str, csv: Path, *, seconds: int, users: int, is_warm_up: bool = False) -> list[str]:
    """The command line; a warm-up prints nothing and judges nothing."""
    return [
        "k6",
        "run",
        f"--vus={users}",
        f"--duration={seconds}s",
        "--no-usage-report",
        "--address=",  # no port of its own
        *(["--quiet", "--no-thresholds", "--log-output=none"] if is_warm_up else []),
        f"--env=CSV={csv.resolve()}",
        f"--env=BASE_URL={base_url}",
        str(SCRIPT),
    ]


def run_k6(base_url: str, csv: Path, *, seconds: int, users: int, is_warm_up: bool = False) -> bool:
    """Send the mix for that long; whether all thresholds hold. k6 prints what it measured.

    Raises LoadError where k6 is missing or fails.
    """
    argv = command(base_url, csv, seconds=seconds, users=users, is_warm_up=is_warm_up)
    try:
        done = subprocess.run(
            argv, stdout=subprocess.DEVNULL if is_warm_up else None, check=False, timeout=seconds + 90
        )
    except FileNotFoundError:
        raise LoadError(
            "k6 is not installed; `go install go.k6.io/k6@v1.0.0` builds it, and --driver wrk does without."
        ) from None
    except subprocess.TimeoutExpired:
        raise LoadError("k6 did not end within 90 s of its time; does the service hang?") from None
    if done.returncode not in (0, _THRESHOLDS_FAILED):
        raise LoadError(f"k6 failed with exit code {done.returncode}; its last lines say why.")
    return done.returncode == 0
