"""The application's connector client, for callers without an event loop."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from app.core.errors import ProfileError
from cdc.connector.client import ConnectClient as AsyncConnectClient
from cdc.connector.config import connector_config
from infra.errors import InfraError

__all__ = ["ConnectClient", "connector_config"]

T = TypeVar("T")


class ConnectClient:
    """cdc.connector.client, one call at a time; each raises InfraError in place of the application's errors."""

    def __init__(self, url: str) -> None:
        self._client = AsyncConnectClient(url)

    def names(self) -> list[str]:
        """The registered connectors."""
        return _run(self._client.names())

    def register(self, name: str, config: dict[str, str], *, timeout_s: float = 60.0) -> None:
        """Create the connector or bring it to this configuration, and return when it runs."""
        _run(self._client.register(name, config, timeout_s=timeout_s))

    def restart_failed(self, name: str) -> None:
        """Start failed parts of a connector again."""
        _run(self._client.restart(name))

    def pause(self, name: str) -> None:
        """Stop producing; the replication slot goes on holding WAL."""
        _run(self._client.pause(name))

    def resume(self, name: str) -> None:
        """Go on after `pause`."""
        _run(self._client.resume(name))

    def delete(self, name: str) -> None:
        """Remove the connector, if it is there; its replication slot is the caller's to drop."""
        _run(self._client.delete(name))


def _run(call: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(call)
    except ProfileError as error:
        raise InfraError(str(error)) from error
