"""Which keys a process knows, and for how long."""

import asyncio
import logging
from datetime import timedelta

import pytest

from app.core.api_keys import Rate, Scope, id_of
from app.core.errors import TransientError
from tests.unit.app.key_fakes import START, FakeKeys, StillClock, ring_of
from web.auth.api_key_cache import KeyRing


@pytest.fixture
def keys() -> FakeKeys:
    return FakeKeys()


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def ring(keys: FakeKeys, clock: StillClock) -> KeyRing:
    return ring_of(keys, clock)


async def test_nothing_is_known_before_the_first_reading(ring: KeyRing, keys: FakeKeys) -> None:
    text = keys.make(Scope.READ)
    with pytest.raises(TransientError):
        ring.find(text)
    assert (await ring.look(text)) is not None


async def test_a_key_needs_its_whole_secret(ring: KeyRing, keys: FakeKeys) -> None:
    text, other = keys.make(Scope.READ), keys.make(Scope.ERASE)
    await ring.read()
    grant = ring.find(text)
    assert grant is not None
    assert grant.scopes == {Scope.READ}
    last = "0" if text[-1] != "0" else "1"
    mixed = "_".join([*text.split("_")[:2], other.split("_")[2]])
    for wrong in (text[:-1] + last, mixed, text.upper(), f" {text}", ""):
        assert ring.find(wrong) is None


async def test_a_new_key_is_found_at_once_and_strangers_cost_few_readings(
    ring: KeyRing, keys: FakeKeys, clock: StillClock
) -> None:
    await ring.read()
    clock.at += 10
    text = keys.make(Scope.READ)
    assert ring.find(text) is None
    assert await ring.look(text) is not None
    assert keys.readings == 2
    stranger = FakeKeys().make(Scope.READ)
    for _ in range(50):
        assert await ring.look(stranger) is None
    assert keys.readings == 2
    clock.at += 1
    assert await ring.look("nonsense") is None
    assert keys.readings == 2
    await ring.look(stranger)
    assert keys.readings == 3


async def test_many_at_once_share_a_reading(ring: KeyRing, keys: FakeKeys) -> None:
    await asyncio.gather(*(ring.read() for _ in range(20)))
    assert keys.readings == 1


async def test_a_revoked_key_is_dropped_by_the_next_reading(
    ring: KeyRing, keys: FakeKeys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    text = keys.make(Scope.READ)
    await ring.read()
    assert ring.has_live
    assert ring.find(text) is not None
    key_id = id_of(text)
    assert key_id is not None
    await keys.revoke(key_id)
    await ring.read()
    assert ring.find(text) is None
    assert not ring.has_live
    (told,) = [vars(record) for record in caplog.records if record.name == "audit"]
    assert (told["event"], told["key_id"], told["cause"]) == ("key_dropped", key_id, "revoked")
    assert text not in caplog.text


async def test_a_key_expires_without_a_reading(ring: KeyRing, keys: FakeKeys, clock: StillClock) -> None:
    text = keys.make(Scope.READ, expires_at=START + timedelta(seconds=5))
    await ring.read()
    clock.at += 4.999
    assert ring.find(text) is not None  # and again, from what was proven
    assert ring.find(text) is not None
    clock.at += 0.001
    assert ring.find(text) is None


async def test_known_keys_hold_through_an_outage_of_bounded_length(
    ring: KeyRing, keys: FakeKeys, clock: StillClock
) -> None:
    text, stranger = keys.make(Scope.READ), FakeKeys().make(Scope.READ)
    await ring.read()
    keys.error = TransientError("PostgreSQL is away")
    clock.at += 60
    assert await ring.look(text) is not None
    assert await ring.look(stranger) is None
    clock.at += 0.1
    with pytest.raises(TransientError):
        await ring.look(text)
    keys.error = None
    clock.at += 1
    assert await ring.look(text) is not None


async def test_it_reads_again_by_itself_whatever_goes_wrong(keys: FakeKeys, clock: StillClock) -> None:
    ring = ring_of(keys, clock, refresh_s=0.001)
    keys.error = RuntimeError("a defect")
    running = asyncio.create_task(ring.run())
    await asyncio.sleep(0.1)
    failed = keys.readings
    keys.error = None
    text = keys.make(Scope.READ)
    async with asyncio.timeout(5):
        while keys.readings <= failed + 1:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.001)
    running.cancel()
    assert failed > 1
    assert ring.find(text) is not None


@pytest.mark.parametrize("among", [1, 2, 4])
async def test_processes_that_share_a_rate_allow_no_more_together(
    keys: FakeKeys, clock: StillClock, among: int
) -> None:
    usual, own = keys.make(Scope.READ), keys.make(Scope.READ, rate=Rate(per_s=4, burst=8))
    allowed = {usual: 0, own: 0}
    for ring in [ring_of(keys, clock, rate=Rate(per_s=2, burst=4), among=among) for _ in range(among)]:
        await ring.read()
        for text in allowed:
            grant = ring.find(text)
            assert grant is not None
            began = clock.monotonic()
            # A burst at once, and what ten seconds bring.
            allowed[text] += sum(not grant.take(began) for _ in range(20))
            allowed[text] += sum(not grant.take(began + second / 10) for second in range(1, 101))
    assert allowed == {usual: 4 + 20, own: 8 + 40}


async def test_a_rate_outlives_readings_and_a_key_may_have_its_own(keys: FakeKeys, clock: StillClock) -> None:
    ring = ring_of(keys, clock, rate=Rate(per_s=1, burst=1))
    usual, own = keys.make(Scope.READ), keys.make(Scope.READ, rate=Rate(per_s=1, burst=2))
    await ring.read()
    for text, allowed in ((usual, 1), (own, 2)):
        for _ in range(allowed):
            grant = ring.find(text)
            assert grant is not None
            assert grant.take(clock.at) == 0
        await ring.read()
        grant = ring.find(text)
        assert grant is not None
        assert grant.take(clock.at) == 1
