"""Runs the commands of docs/tutorial.md in one shell, and compares what they print with what the page shows."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.e2e.workers import ROOT

PAGE: Final = ROOT / "docs" / "tutorial.md"
_BLOCK: Final = re.compile(r"^```(bash setup|bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK: Final = "=== block {} ==="
_ANYTHING: Final = "…"
_LIMIT_S: Final = 300


def differences(directory: Path, environment: Mapping[str, str]) -> list[str]:
    """What a block printed, and what the page shows, of each block where they differ.

    The environment stands in for the block `setup`; the commands run in `directory`. What a command prints may hold
    anything where the page has `…`.
    """
    blocks = _BLOCK.findall(PAGE.read_text())
    commands = [(number, text) for number, (kind, text) in enumerate(blocks) if kind == "bash"]
    script = "".join(f"echo\necho '{_MARK.format(number)}'\n{text}" for number, text in commands)
    ran = subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=directory,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    found = [] if ran.returncode == 0 else [f"The commands ended with {ran.returncode}: {ran.stderr}"]
    for number, _ in commands:
        kind, shown = blocks[number + 1]
        if kind != "text":
            continue
        _, _, rest = ran.stdout.partition(_MARK.format(number))
        printed = rest.partition("=== block ")[0].strip()
        pattern = ".*?".join(map(re.escape, shown.strip().split(_ANYTHING)))
        if not re.fullmatch(pattern, printed.replace("\r", ""), re.DOTALL):
            found.append(f"shown: {shown}\nprinted: {printed}")
    return found
