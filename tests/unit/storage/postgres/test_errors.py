import asyncpg
import pytest

from app.core.errors import (
    FatalError,
    FullError,
    InvalidError,
    ProfileError,
    TooMuchAtOnceError,
    TransientError,
)
from storage.postgres.errors import translated


def raised(error: Exception) -> ProfileError:
    with pytest.raises(ProfileError) as caught, translated():
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.DeadlockDetectedError("x"), TransientError),
        (asyncpg.SerializationError("x"), TransientError),
        (asyncpg.AdminShutdownError("x"), TransientError),
        (asyncpg.CannotConnectNowError("x"), TransientError),
        (asyncpg.TooManyConnectionsError("x"), TransientError),
        (asyncpg.DiskFullError("x"), FullError),
        (asyncpg.ConnectionDoesNotExistError("x"), TransientError),
        (asyncpg.ReadOnlySQLTransactionError("x"), TransientError),
        (asyncpg.InterfaceError("x"), TransientError),
        (asyncpg.InternalClientError("x"), TransientError),
        (TimeoutError(), TransientError),
        (ConnectionRefusedError(111, "refused"), TransientError),
        (asyncpg.UntranslatableCharacterError("secret"), InvalidError),
        (asyncpg.NumericValueOutOfRangeError("secret"), InvalidError),
        (asyncpg.ProgramLimitExceededError("secret"), InvalidError),
        (asyncpg.exceptions._base.DataError("secret"), InvalidError),
        (UnicodeEncodeError("utf-8", "secret\ud800", 6, 7, "surrogates"), InvalidError),
        (asyncpg.UndefinedTableError("x"), FatalError),
        (asyncpg.InvalidPasswordError("x"), FatalError),
        (asyncpg.InvalidCatalogNameError("x"), FatalError),
    ],
)
def test_by_sqlstate(error: Exception, kind: type[ProfileError]) -> None:
    found = raised(error)
    assert type(found) is kind
    assert "secret" not in str(found)


def test_our_own_errors_pass() -> None:
    original = FatalError("x")
    assert raised(original) is original


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (asyncpg.QueryCanceledError("secret"), TooMuchAtOnceError),
        (asyncpg.OutOfMemoryError("secret"), TooMuchAtOnceError),
        # A partition that is made while its first row is written elsewhere; the row is good.
        (asyncpg.CheckViolationError("secret"), TransientError),
    ],
)
def test_what_succeeds_later_or_in_smaller_pieces_is_no_fault_of_the_input(
    error: Exception, kind: type[ProfileError]
) -> None:
    assert type(raised(error)) is kind
