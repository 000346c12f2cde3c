"""What doctor says of the web server's door, and of the keys to it: as the gate decides."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.config.key_file import KeyFile
from app.config.settings import Settings
from app.core.api_keys import Scope
from app.core.check_results import Finding, Level
from app.core.errors import FatalError
from app.doctor.access import access_findings
from tests.unit.app.key_fakes import START, FakeKeys, StillClock, ring_of
from web.auth.gate import Gate

EVERYWHERE: dict[str, Any] = {"web_host": "0.0.0.0"}
ALLOWED = EVERYWHERE | {"web_allow_non_loopback": True}


def made(good: int = 0, expired: int = 0, revoked: int = 0) -> FakeKeys:
    keys = FakeKeys()
    for _ in range(good):
        keys.make(Scope.READ)
    for _ in range(expired):
        keys.make(Scope.READ, expires_at=START - timedelta(days=1))
    for _ in range(revoked):
        keys.make(Scope.READ, expires_at=START - timedelta(days=1))
        keys.keys[-1] = replace(keys.keys[-1], revoked_at=START)
    return keys


async def findings(changes: dict[str, Any], keys: FakeKeys | None) -> dict[str, Finding]:
    settings = Settings(
        _env_file=None, **{"auth": "required", "key_file": Path("/nonexistent/key")} | changes
    )
    found = await access_findings(settings, None if keys is None else keys.keys, StillClock())
    assert all(finding.mend for finding in found if finding.level is not Level.OK)
    return {finding.name: finding for finding in found}


@pytest.mark.parametrize(
    ("changes", "keys", "expected"),
    [
        ({}, made(), {}),
        ({}, made(good=1, revoked=1), {}),
        (EVERYWHERE, made(good=1), {}),
        (EVERYWHERE, made(), {}),  # the first start makes one
        (EVERYWHERE, made(revoked=1), {"settings.web_host": Level.FAIL, "keys": Level.FAIL}),
        (EVERYWHERE, None, {"settings.web_host": Level.WARN}),
        (ALLOWED, made(good=1), {}),
        (ALLOWED, made(revoked=1), {"keys": Level.FAIL}),
        (ALLOWED, None, {}),
        ({"auth": "off"}, made(good=1), {"settings.auth": Level.WARN}),
        (
            EVERYWHERE | {"auth": "off"},
            made(good=1),
            {"settings.auth": Level.WARN, "settings.web_host": Level.FAIL},
        ),
        (
            ALLOWED | {"auth": "off"},
            made(good=1),
            {"settings.auth": Level.WARN, "settings.web_host": Level.WARN},
        ),
        ({}, made(revoked=2), {"keys": Level.FAIL}),
        ({}, made(expired=1), {"keys": Level.FAIL, "keys.expired": Level.WARN}),
        ({}, made(good=1, expired=1), {"keys.expired": Level.WARN}),
        (EVERYWHERE | {"roles": "cdc", "auth": "off"}, made(), {}),
    ],
)
async def test_the_door_and_its_keys(
    changes: dict[str, Any], keys: FakeKeys | None, expected: dict[str, Level]
) -> None:
    found = await findings(changes, keys)
    assert {name: each.level for name, each in found.items() if each.level is not Level.OK} == expected


@pytest.mark.parametrize("auth", ["required", "off"])
@pytest.mark.parametrize("allowed", [True, False])
@pytest.mark.parametrize("keys", [made(revoked=1), made(good=1), made(expired=1)])
async def test_it_says_what_the_gate_does(auth: Any, *, allowed: bool, keys: FakeKeys) -> None:
    ring = ring_of(keys, StillClock())
    await ring.read()
    refuses = False
    try:
        Gate(auth, ring, StillClock()).listen("0.0.0.0", loopback=False, allowed=allowed)
    except FatalError:
        refuses = True
    found = await findings(EVERYWHERE | {"auth": auth, "web_allow_non_loopback": allowed}, keys)
    told = found["settings.web_host"]
    assert (told.level is Level.FAIL) is refuses is ("refuse to start" in told.what)


async def test_expired_keys_are_told_by_their_ids_and_no_secret() -> None:
    keys = made(expired=7)
    found = await findings({}, keys)
    told = found["keys.expired"].what
    assert told.startswith("7: ")
    assert told.endswith("(2025-10-04) and 2 more")
    assert keys.keys[-1].id in told
    assert found["keys"].what == "all 7 are revoked or expired: every request is refused"


async def test_the_file_with_the_first_key_is_checked(tmp_path: Path) -> None:
    keys, file = FakeKeys(), KeyFile(tmp_path / "key")
    changes = {"key_file": file.path}
    assert "keys.file" not in await findings(changes, keys)
    file.create(keys.make(Scope.READ))
    assert (await findings(changes, keys))["keys.file"].level is Level.OK
    file.path.chmod(0o644)
    told = (await findings(changes, keys))["keys.file"]
    assert (told.level, told.mend) == (Level.WARN, f"chmod 600 {file.path}")
    file.replace(FakeKeys().make(Scope.READ))
    told = (await findings(changes, keys))["keys.file"]
    assert told.level is Level.WARN
    assert "not accepted" in told.what
    file.path.write_text("nonsense")
    assert (await findings(changes, keys))["keys.file"].level is Level.WARN
