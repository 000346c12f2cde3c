"""PostgreSQL's errors in the words of app.core.errors, by SQLSTATE and never by the text of a message.

The message of an InvalidError holds no value: what PostgreSQL says may quote somebody's data.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg

from app.core.errors import (
    FatalError,
    FullError,
    InvalidError,
    ProfileError,
    TooMuchAtOnceError,
    TransientError,
)

# Classes 40: rollback (deadlock, serialization); 08: connection; 53: resources; 57: shut down, cancelled,
# starting; 58: system; 55: object in use; 25: read-only, after a failover.
_TRANSIENT_CLASSES: Final = frozenset({"40", "08", "53", "57", "58", "55", "25"})
_INVALID_CLASSES: Final = frozenset({"22", "23", "54"})
# A statement that was cancelled for its time, and what may fit into memory in smaller pieces.
_TOO_MUCH: Final = frozenset({"57014", "53200"})
_DISK_FULL: Final = "53100"
# No row of ours breaks a CHECK. A row in the default partition meets the partition that is being made for it, whichever
# of the two commits first.
_PARTITIONING: Final = frozenset({"23514"})
_NO_RIGHT: Final = "42501"

_SENTENCES: Final = {
    "22003": "a number is out of PostgreSQL's range",
    "22008": "a date is out of PostgreSQL's range",
    "22P05": "a text holds U+0000, which can't be stored",
    "22P02": "a value is not JSON that PostgreSQL accepts",
    "22021": "a text is not valid UTF-8",
    "54000": "a value is larger than PostgreSQL can store or index",
    "54001": "a value is nested too deeply",
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise TransientError, InvalidError or FatalError in place of the driver's errors."""
    try:
        yield
    except ProfileError:
        raise
    except asyncpg.PostgresError as error:
        raise from_postgres(error) from error
    except (asyncpg.InterfaceError, UnicodeEncodeError) as error:
        if isinstance(error, ValueError):  # the driver could not encode a parameter, and quotes it
            raise InvalidError(
                "It can't be stored: a value is outside of what its column holds.", code="refused-by-driver"
            ) from None
        raise TransientError(f"The connection to PostgreSQL can't be used: {error}") from error
    except asyncpg.InternalClientError as error:
        # What the driver says where its connection is lost within a message; such a connection is not used again.
        raise TransientError(f"The connection to PostgreSQL broke: {type(error).__name__}.") from error
    except TimeoutError as error:
        raise TransientError("PostgreSQL did not answer in time.") from error
    except ssl.SSLCertVerificationError as error:
        # It may be renewed while we run, so that to wait is right.
        raise TransientError(
            f"PostgreSQL's certificate is not accepted ({error.verify_message}): check sslmode and sslrootcert of "
            "PROFILE_POSTGRES_DSN, and the server's certificate."
        ) from error
    except FileNotFoundError as error:
        raise TransientError(
            "PostgreSQL is not reachable: its socket, or a file that the DSN names (sslrootcert, sslcert, sslkey), is "
            "not there."
        ) from error
    except OSError as error:
        raise TransientError(
            f"PostgreSQL is not reachable: {error.strerror or type(error).__name__}."
        ) from error


def refusal(state: str) -> InvalidError:
    """Why a value is refused, by its SQLSTATE of the classes 22, 23 and 54."""
    cause = _SENTENCES.get(state, f"PostgreSQL refuses a value (SQLSTATE {state})")
    return InvalidError(f"It can't be stored: {cause}.", code=f"refused-{state}")


def from_postgres(error: asyncpg.PostgresError) -> ProfileError:
    """The one table of SQLSTATEs."""
    state = error.sqlstate or ""
    group = state[:2]
    if state in _TOO_MUCH:
        return TooMuchAtOnceError(f"PostgreSQL could not do so much at once (SQLSTATE {state}).")
    if state == _DISK_FULL:
        return FullError(
            f"PostgreSQL has no disk space left (SQLSTATE {state}): make room on the primary, and it goes on by itself."
        )
    if state in _PARTITIONING:
        return TransientError(
            f"A partition of points came at the same time (SQLSTATE {state}); the next attempt sees it."
        )
    if group in _INVALID_CLASSES:
        return refusal(state)
    if group in _TRANSIENT_CLASSES:
        return TransientError(f"PostgreSQL could not do it now (SQLSTATE {state}, {type(error).__name__}).")
    return _fatal(state, group, error) or TransientError(
        f"PostgreSQL failed (SQLSTATE {state}, {type(error).__name__})."
    )


def _fatal(state: str, group: str, error: asyncpg.PostgresError) -> FatalError | None:
    if group == "28":
        return FatalError(
            f"PostgreSQL refuses the user or password (SQLSTATE {state}): check PROFILE_POSTGRES_DSN."
        )
    if group == "3D":
        return FatalError(
            "The database of PROFILE_POSTGRES_DSN does not exist: create it, then `python -m app migrate`."
        )
    if state == _NO_RIGHT:
        return FatalError(
            f"A login of PostgreSQL lacks a right (SQLSTATE {state}): run `python -m app roles` as the owner of the "
            "schema, and see `python -m app doctor`."
        )
    if group in ("42", "3F"):
        return FatalError(
            f"The schema does not fit this code (SQLSTATE {state}, {type(error).__name__}): "
            "run `python -m app migrate`."
        )
    return None
