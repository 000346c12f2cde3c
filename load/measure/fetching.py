"""Single requests to a server of this machine."""

import urllib.error
import urllib.request

from load import own_key
from load.errors import LoadError


def fetch(url: str, body: bytes | None = None) -> bytes:
    """The body of the answer to a GET, or to a POST of JSON. Raises LoadError where it is none of 2xx."""
    content = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=body, headers=content | own_key.headers())  # noqa: S310 - a loopback http:// address
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - see above
            answer: bytes = response.read()
            return answer
    except urllib.error.HTTPError as error:
        raise LoadError(f"{url} answered {error.code}; see the worker's log.") from None
    except OSError as error:
        raise LoadError(f"Nothing answers at {url} ({error}); start it with `make run-worker`.") from None
