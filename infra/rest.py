"""JSON over HTTP to the servers of the stack, without a dependency."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from infra.errors import InfraError


def request(method: str, url: str, body: object = None, *, timeout_s: float = 30.0) -> tuple[int, Any]:
    """The status and the decoded JSON body (None if empty). Raises InfraError when nobody answers."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port, timeout=timeout_s)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise InfraError(
            f"No answer from {url}: {error}. Is the service up (python -m infra status)?"
        ) from error
    finally:
        connection.close()
    try:
        return response.status, json.loads(text) if text else None
    except ValueError:
        return response.status, text.decode(errors="replace")
