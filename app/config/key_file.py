"""The file that holds the API key of this machine's operator: the worker makes it, commands and the demo read it.

It is readable by its owner alone (0600), in a directory that is, too (0700). Processes that create it at the same
moment agree on one key: a complete file is linked to its name, which succeeds once.
"""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from app.config.settings import Settings
from app.core.api_keys import id_of
from app.core.errors import FatalError

_MAX_BYTES: Final = 1_024
_PRIVATE_DIRECTORY: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9.-]+")


class KeyFile:
    """One file. Each method raises FatalError with the cause and the way out where the file can't be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str] = os.environ) -> Self:
        """The file of PROFILE_KEY_FILE; else one named after the database, in the state directory of the user."""
        if settings.key_file is not None:
            return cls(settings.key_file)
        state = environment.get("XDG_STATE_HOME", "")
        if not Path(state).is_absolute():  # the XDG specification says to ignore others
            home = environment.get("HOME") or os.path.expanduser("~")  # noqa: PTH111 - Path.home raises RuntimeError
            state = str(Path(home) / ".local" / "state")
        address = urlsplit(settings.postgres_dsn.get_secret_value())
        name = _UNUSUAL.sub("_", f"{address.netloc.rpartition('@')[2]}{address.path}")
        return cls(Path(state) / "user-profile" / f"{name}.key")

    def read(self) -> str | None:
        """The key; None where there is no file."""
        try:
            with self.path.open(encoding="ascii") as file:
                text = file.read(_MAX_BYTES).strip()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise FatalError(
                f"The API key in {self.path} can't be read ({type(error).__name__}). Let this user read it, or name "
                "another file in PROFILE_KEY_FILE."
            ) from error
        if id_of(text) is None:
            raise FatalError(
                f"{self.path} does not hold an API key. Remove it, and `python -m app keys renew` makes a new one."
            )
        return text

    def create(self, text: str) -> str:
        """Write the key unless there is a file; return the key that the file holds afterwards."""
        with self._written(text) as draft, suppress(FileExistsError):
            os.link(draft.path, self.path)
            return text
        return self.read() or text

    def replace(self, text: str) -> None:
        """Write the key over whatever there is."""
        with self._written(text) as draft:
            draft.path.replace(self.path)

    def remove(self) -> None:
        """Remove the file; none is fine."""
        with suppress(OSError):
            self.path.unlink()

    @property
    def is_private(self) -> bool:
        """Whether its owner alone may read it; true where there is none."""
        try:
            return not self.path.stat().st_mode & 0o077
        except OSError:
            return True

    def _written(self, text: str) -> "_Draft":
        try:
            self.path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            path = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}")
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FatalError(
                f"No API key can be stored in {self.path} ({error.strerror}). Name a file in PROFILE_KEY_FILE whose "
                "directory this user may write to, or give a key by PROFILE_FIRST_KEY."
            ) from error
        return _Draft(path)


class _Draft:
    """A complete file under a name of its own, removed at the end of the context."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self.path.unlink()


def local_key(settings: Settings) -> str | None:
    """The key that this machine's commands use: PROFILE_FIRST_KEY, else the file's. Raises FatalError."""
    if settings.first_key is not None:
        return settings.first_key.get_secret_value()
    return KeyFile.of(settings).read()
