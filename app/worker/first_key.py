"""The first API key: a worker with the web makes it where no key was ever made, so that the service starts closed.

The database decides: of all processes that start at once, on any number of machines, one adds its key. On one machine
all processes propose the same key, that of the file. The text is shown once, on a terminal; a log, which others may
collect, names the file alone.
"""

import logging
import sys
from typing import Final

from app.config.key_file import KeyFile
from app.config.settings import Settings
from app.core.api_keys import (
    FIRST_KEY_NAME,
    FIRST_KEY_RATE,
    FIRST_KEY_SCOPES,
    digest_of,
    id_of,
    new_text,
)
from app.core.errors import FatalError
from app.core.log_events import LogEvent
from app.ports.api_keys import KeyStore

logger = logging.getLogger(__name__)
audit = logging.getLogger("audit")

_WAY_OUT: Final = "make one (`python -m app keys create --name N --scope read`), or set PROFILE_FIRST_KEY"


async def make_first_key(store: KeyStore, settings: Settings) -> None:
    """Add the key of PROFILE_FIRST_KEY, of the file, or a new one, unless a key was ever made. Raises TransientError.

    Where the file can't be used, the server starts without a key, closed to everybody, and the log says so.
    """
    if settings.auth == "off" or await store.all():
        return
    file = KeyFile.of(settings)
    proposed = new_text()
    try:
        text = (
            settings.first_key.get_secret_value()
            if settings.first_key
            else file.read() or file.create(proposed)
        )
    except FatalError as error:
        logger.error("There is no API key, so that every request is refused. %s Or %s.", error, _WAY_OUT)  # noqa: TRY400
        return
    key_id = id_of(text) or ""
    if await store.add_first(
        key_id=key_id,
        digest=digest_of(text),
        name=FIRST_KEY_NAME,
        scopes=FIRST_KEY_SCOPES,
        rate=FIRST_KEY_RATE,
    ):
        audit.info(
            "key %s created as the first one", key_id, extra={**LogEvent.KEY_CREATED.extra, "key_id": key_id}
        )
        _show(settings, file, text)
    elif text == proposed and all(key.id != key_id for key in await store.all()):
        file.remove()  # another machine's key was first


def _show(settings: Settings, file: KeyFile, text: str) -> None:
    if settings.first_key is not None:
        logger.warning("The first API key is that of PROFILE_FIRST_KEY.")
        return
    logger.warning(
        "The first API key was made. It lies in %s, readable by this user alone: `python -m app keys show` prints it, "
        "and `python -m app keys link` prints the address of the page with it.",
        file.path,
    )
    # Faust takes sys.stderr for its log.
    if sys.__stderr__ is not None and sys.__stderr__.isatty():
        print(f"The first API key, shown once: {text}", file=sys.__stderr__, flush=True)
