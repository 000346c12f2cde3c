"""What a row of a key is read as."""

from typing import Any

from app.core.api_keys import Scope
from storage.postgres.api_keys import _key
from tests.unit.app.key_fakes import START


def test_a_scope_of_a_newer_version_is_left_out_and_takes_nothing_away() -> None:
    row: Any = {
        "id": "0" * 12,
        "name": "n",
        "digest": b"d",
        "scopes": ["read", "fly"],
        "created_at": START,
        "expires_at": None,
        "revoked_at": None,
        "rate_per_s": None,
        "rate_burst": None,
    }
    assert _key(row).scopes == {Scope.READ}
