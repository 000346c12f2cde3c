"""The demo's worker process: started in the background, found again by its pid file, stopped on request."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp

from app.config.settings import Settings
from infra.settings import InfraSettings
from load.demo.console import Console, DemoError

READY_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0


class DemoWorker:
    """`faust -A app worker` with all roles; its log and pid lie in `run_dir`."""

    def __init__(self, run_dir: Path, base_url: str) -> None:
        self._log = run_dir / "worker.log"
        self._pid = run_dir / "worker.pid"
        self._base_url = base_url
        self._process: subprocess.Popen[bytes] | None = None
        run_dir.mkdir(parents=True, exist_ok=True)

    def running_pid(self) -> int | None:
        """The pid of our worker, or None; a pid that another program bears now does not count."""
        try:
            pid = int(self._pid.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if b"faust" in command and b"worker" in command else None

    async def start(self, console: Console) -> None:
        """Start it unless it runs; return when /readyz says ready. Raises DemoError with the log's end."""
        pid = self.running_pid()
        if pid is None:
            pid = self._spawn()
            console.say(f"faust -A app worker -l info   (pid {pid}, log {self._log})")
        else:
            console.say(f"It runs already (pid {pid}, log {self._log}).")
        await self._wait_ready()

    async def wait_ready(self) -> None:
        """Return when /readyz of a worker that somebody else started says ready. Raises DemoError."""
        await self._wait_ready(ours=False)

    def _spawn(self) -> int:
        # Not asyncio's subprocess: its transport would kill the worker when the demo ends.
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "faust", "-A", "app", "worker", "-l", "info"],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                env=os.environ | _own_logins(),
            )
        self._pid.write_text(str(self._process.pid))
        return self._process.pid

    def _ended(self) -> bool:
        # Of a child just started /proc may not show the command yet.
        return self.running_pid() is None if self._process is None else self._process.poll() is not None

    async def _wait_ready(self, *, ours: bool = True) -> None:
        detail = "no answer yet"
        async with aiohttp.ClientSession() as http, asyncio.timeout(READY_TIMEOUT_S + 5):
            deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
            while asyncio.get_running_loop().time() < deadline:
                if ours and self._ended():
                    raise DemoError(f"The worker ended. The end of {self._log}:\n{self.log_tail()}")
                try:
                    async with http.get(f"{self._base_url}/readyz") as response:
                        if response.status == 200:
                            return
                        detail = await response.text()
                except aiohttp.ClientError as error:
                    detail = str(error)
                await asyncio.sleep(0.3)
        raise DemoError(
            f"The worker is not ready after {READY_TIMEOUT_S:.0f} s: {detail}\n"
            f"The end of {self._log}:\n{self.log_tail()}"
        )

    def log_tail(self, lines: int = 15) -> str:
        try:
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return "(no log)"

    async def stop(self) -> bool:
        """SIGTERM, then SIGKILL after a time; false where it did not run."""
        pid = self.running_pid()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + STOP_TIMEOUT_S
        while self.running_pid() == pid:
            if asyncio.get_running_loop().time() > deadline:
                os.kill(pid, signal.SIGKILL)
                break
            await asyncio.sleep(0.1)
        self._pid.unlink(missing_ok=True)
        return True


def _own_logins() -> dict[str, str]:
    """Those of the local stack's roles, where the worker would use its administrator's for all."""
    settings, stack = Settings(), InfraSettings()
    told = settings.postgres_read_dsn or settings.postgres_write_dsn
    if told is not None or settings.postgres_dsn.get_secret_value() != stack.postgres_dsn():
        return {}
    names = ("PROFILE_POSTGRES_READ_DSN", "PROFILE_POSTGRES_WRITE_DSN")
    return {name: value for name, value in stack.app_environment().items() if name in names}
