"""The API key that load tools send: that of PROFILE_API_KEY, else this machine's own."""

import os
from typing import Final

from app.config.key_file import local_key
from app.config.settings import Settings

VARIABLE: Final = "PROFILE_API_KEY"  # k6 and wrk read it, too; in arguments other users would see it


def use_own_key() -> None:
    """Let this process and its children send this machine's key, where there is one. Raises FatalError."""
    if VARIABLE not in os.environ and (text := local_key(Settings())) is not None:
        os.environ[VARIABLE] = text


def headers() -> dict[str, str]:
    """What a request needs beside its own headers; nothing without a key."""
    text = os.environ.get(VARIABLE)
    return {} if text is None else {"Authorization": f"Bearer {text}"}
