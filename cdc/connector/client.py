"""Kafka Connect's REST interface."""

import asyncio
import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from app.core.errors import FatalError, TransientError
from app.core.network import tls_context
from app.ports.capture import ConnectorPosition, ConnectorState, TaskState

_CONFLICTS: Final = 50  # a rebalancing worker asks to be called again
_CONFLICT_PAUSE_S: Final = 0.2
_POLL_S: Final = 0.2
_MAX_CAUSE: Final = 300


class NoConnectorError(FatalError):
    """Connect does not know the connector."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no connector {name}: make it with `python -m app connector apply`.")


class ConnectClient:
    """Implements app.ports.capture.ConnectorAdmin. Every call may be repeated.

    Each raises TransientError where Connect does not answer or fails, FatalError with Connect's words where it
    refuses, and NoConnectorError where the connector is not there.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0, ca_file: Path | None = None) -> None:
        """`url` may hold a user and password; `ca_file`, PEM, is of https, by default the system's.

        Raises FatalError where the file can't be used.
        """
        self._tls = True if ca_file is None else tls_context("Kafka Connect", ca_file, None, None)
        self._url = url.rstrip("/")
        self._shown = self._url if "@" not in self._url else f"…@{self._url.rpartition('@')[2]}"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def names(self) -> list[str]:
        """The registered connectors."""
        found: list[str] = await self._call("GET", "/connectors")
        return found

    async def state(self, name: str) -> ConnectorState | None:
        code, answer = await self._request("GET", f"/connectors/{quote(name)}/status")
        if code == HTTPStatus.NOT_FOUND:
            return None
        self._check(name, code, answer)
        return _state_of(answer)

    async def config(self, name: str) -> dict[str, str] | None:
        code, answer = await self._request("GET", f"/connectors/{quote(name)}/config")
        if code == HTTPStatus.NOT_FOUND:
            return None
        self._check(name, code, answer)
        found: dict[str, str] = answer
        return found

    async def position(self, name: str) -> ConnectorPosition | None:
        answer = await self._call("GET", f"/connectors/{quote(name)}/offsets", name=name)
        offsets = [entry["offset"] for entry in answer["offsets"] if entry.get("offset")]
        if not offsets:
            return None
        # One task on one database has one offset.
        offset = offsets[0]
        return ConnectorPosition(
            lsn=offset["lsn"], committed_us=offset.get("ts_usec"), commit_lsn=offset.get("lsn_commit")
        )

    async def apply(self, name: str, config: dict[str, str]) -> None:
        await self._call("PUT", f"/connectors/{quote(name)}/config", config)

    async def create_stopped(self, name: str, config: dict[str, str]) -> None:
        """Make a connector that does not run; fails where it exists."""
        body = {"name": name, "config": config, "initial_state": "STOPPED"}
        await self._call("POST", "/connectors", body)

    async def register(self, name: str, config: dict[str, str], *, timeout_s: float = 60.0) -> None:
        """Create the connector or bring it to this configuration, and return when it runs."""
        await self.apply(name, config)
        await self.wait_running(name, timeout_s=timeout_s)

    async def wait_running(self, name: str, *, timeout_s: float = 60.0) -> None:
        """Return when the connector and its task run; a failed one is started again once.

        Raises FatalError with the cause when it fails again or does not run in time.
        """
        restarted = False
        deadline = time.monotonic() + timeout_s
        while (state := await self.state(name)) is None or not state.running:
            if state is not None and state.failed:
                if restarted:
                    raise FatalError(f"The connector {name} failed: {state.cause}")
                await self.restart(name)
                restarted = True
            await _pause(name, "RUNNING", state, deadline)

    async def wait_for(self, name: str, wanted: str, *, timeout_s: float = 30.0) -> None:
        """Return when the connector is in this state and all of its tasks with it. Raises FatalError if not."""
        deadline = time.monotonic() + timeout_s
        while (state := await self.state(name)) is None or set(state.states) != {wanted}:
            await _pause(name, wanted, state, deadline)

    async def restart(self, name: str, *, only_failed: bool = True) -> None:
        query = f"includeTasks=true&onlyFailed={'true' if only_failed else 'false'}"
        await self._call("POST", f"/connectors/{quote(name)}/restart?{query}", name=name)

    async def pause(self, name: str) -> None:
        """Stop producing; the replication slot goes on holding WAL."""
        await self._call("PUT", f"/connectors/{quote(name)}/pause", name=name)

    async def resume(self, name: str) -> None:
        """Go on after `pause` or `stop`."""
        await self._call("PUT", f"/connectors/{quote(name)}/resume", name=name)

    async def stop(self, name: str) -> None:
        """End its tasks, so that nobody uses the slot, and keep its configuration."""
        await self._call("PUT", f"/connectors/{quote(name)}/stop", name=name)

    async def forget_position(self, name: str) -> None:
        """Remove what a stopped connector remembers of its position."""
        await self._call("DELETE", f"/connectors/{quote(name)}/offsets", name=name)

    async def delete(self, name: str) -> bool:
        """Remove the connector; false where it is not there. Its replication slot is the caller's to drop."""
        code, answer = await self._request("DELETE", f"/connectors/{quote(name)}")
        if code == HTTPStatus.NOT_FOUND:
            return False
        self._check(name, code, answer)
        return True

    async def _call(self, method: str, path: str, body: object = None, *, name: str = "") -> Any:
        code, answer = await self._request(method, path, body)
        if code == HTTPStatus.NOT_FOUND and name:
            raise NoConnectorError(name)
        self._check(name or path, code, answer)
        return answer

    async def _request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        try:
            async with aiohttp.ClientSession(timeout=self._timeout) as session:
                for _ in range(_CONFLICTS):
                    # Connect refuses even a request without a body when it is not said to be JSON.
                    async with session.request(
                        method,
                        f"{self._url}{path}",
                        ssl=self._tls,
                        data=None if body is None else json.dumps(body),
                        headers={"Content-Type": "application/json"},
                    ) as response:
                        code, answer = response.status, await _json(response)
                    if code != HTTPStatus.CONFLICT:
                        break
                    await asyncio.sleep(_CONFLICT_PAUSE_S)
                return code, answer
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise TransientError(
                f"Kafka Connect at {self._shown} does not answer ({type(error).__name__}): start it, or set "
                "PROFILE_CONNECT_URL."
            ) from error

    def _check(self, what: str, code: int, answer: Any) -> None:
        if code < HTTPStatus.BAD_REQUEST:
            return
        reason = " ".join(str(answer.get("message", answer) if isinstance(answer, dict) else answer).split())
        kind = FatalError if code < HTTPStatus.INTERNAL_SERVER_ERROR else TransientError
        raise kind(f"Kafka Connect refuses {what} ({code}): {reason[:_MAX_CAUSE]}")


async def _pause(name: str, wanted: str, state: ConnectorState | None, deadline: float) -> None:
    if time.monotonic() > deadline:
        told = "not known to Connect" if state is None else state.summary
        raise FatalError(f"The connector {name} is not {wanted} in time: it is {told}.")
    await asyncio.sleep(_POLL_S)


async def _json(response: aiohttp.ClientResponse) -> Any:
    text = await response.text()
    try:
        return await response.json(content_type=None) if text else None
    except ValueError:
        return text


def _state_of(status: dict[str, Any]) -> ConnectorState:
    return ConnectorState(
        state=status["connector"]["state"],
        cause=cause_of(status["connector"].get("trace")),
        tasks=tuple(
            TaskState(number=task["id"], state=task["state"], cause=cause_of(task.get("trace")))
            for task in status["tasks"]
        ),
    )


def cause_of(trace: str | None) -> str:
    """One line for a Java stack trace: its innermost cause."""
    lines = [line.strip() for line in (trace or "").splitlines()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    told = causes[-1] if causes else next((line for line in lines if line), "")
    kind, colon, message = told.partition(": ")
    text = f"{kind.rpartition('.')[2]}{colon}{message}"
    if len(text) <= _MAX_CAUSE:
        return text
    # Debezium's longest sentence tells the whole offset first, and what is wrong last.
    half = _MAX_CAUSE // 2
    return f"{text[:half]} … {text[-half:]}"
