"""Which processes a worker has, and that their parts are no more than what the worker may use."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.config.processes import Process, apportion, processes_of, publisher_groups
from app.config.settings import Role, Settings
from app.core.errors import FatalError

INGESTING = [Role.ENTITIES_EDGES, Role.ENTITY_PROPERTIES, Role.TEMPORAL_DATA]


def processes(**settings: Any) -> list[Process]:
    return processes_of(Settings(_env_file=None, **settings))


def settings_of(process: Process, **worker: Any) -> Settings:
    """As the process reads them: its own variables go before the worker's."""
    own = {name.removeprefix("PROFILE_").lower(): told for name, told in process.settings.items()}
    return Settings.model_validate(worker | own)


@pytest.mark.parametrize("roles", [INGESTING, [Role.CDC], [Role.WEB], [Role.TEMPORAL_DATA]])
def test_roles_of_one_kind_need_no_second_process(roles: list[Role]) -> None:
    assert processes(roles=roles) == []


@pytest.mark.parametrize(
    ("told", "roles", "names"),
    [
        ("auto", list(Role), ["web", "ingest", "cdc"]),
        ("1", list(Role), []),
        ("auto", [Role.CDC, Role.WEB], ["web", "cdc"]),
        ("web=2", list(Role), ["web-1", "web-2", "ingest", "cdc"]),
        ("ingest=2,web=1", list(Role), ["web", "ingest-1", "ingest-2", "cdc"]),
        ("web=3", [Role.WEB], ["web-1", "web-2", "web-3"]),
        ("cdc=1", [Role.CDC], []),
    ],
)
def test_the_setting_says_how_many_of_each(told: str, roles: list[Role], names: list[str]) -> None:
    assert [process.name for process in processes(processes=told, roles=roles)] == names


@pytest.mark.parametrize(("told", "word"), [("cdc=2", "no role"), ("web=2,web=3", "twice")])
def test_what_makes_no_sense_is_refused(told: str, word: str) -> None:
    with pytest.raises(FatalError, match=word):
        processes(processes=told, roles=[Role.WEB])


def test_each_role_is_in_one_kind_of_process_and_none_starts_others() -> None:
    found = [settings_of(process) for process in processes()]
    assert Counter(role for told in found for role in told.roles) == Counter(Role)
    assert all(processes_of(told) == [] for told in found)


def test_all_processes_consume_in_the_group_of_their_worker() -> None:
    for roles in (list(Role), [Role.CDC, Role.WEB], [Role.CDC, *INGESTING]):
        alone = Settings(roles=roles, processes="1")
        assert {settings_of(process).group_id for process in processes(roles=roles)} == {alone.group_id}


def test_a_group_that_is_told_is_that_of_a_publisher() -> None:
    assert Settings(consumer_group="own", roles=[Role.CDC]).group_id == "own"
    assert publisher_groups(Settings(consumer_group="own")) == publisher_groups(Settings()) | {"own"}


@pytest.mark.parametrize(
    ("told", "pool"), [("auto", 4), ("auto", 8), ("web=2", 8), ("web=4,ingest=2,cdc=2", 16), ("ingest=3", 40)]
)
def test_connections_to_the_primary_are_those_of_one_process(told: str, pool: int) -> None:
    found = [settings_of(process) for process in processes(processes=told, postgres_pool_size=pool)]
    primary = [
        (each.postgres_write_pool_size or 0)
        # The web has a pool for trees beside that for all else.
        + (each.postgres_primary_pool_size or 0) * (2 if Role.WEB in each.roles else 1)
        for each in found
    ]
    # cdc opens none of its one connection for writes.
    assert sum(primary) - sum(Role.CDC in each.roles for each in found) <= 3 * pool
    web = [each for each in found if Role.WEB in each.roles]
    assert sum(each.postgres_pool_size for each in web) <= pool
    assert all(each.postgres_pool_size == 1 for each in found if each not in web)


def test_the_needs_of_each_are_met_by_default() -> None:
    web, ingest, cdc = (settings_of(process) for process in processes())
    assert web.postgres_write_pool_size == 3  # the transactions of POSTs at a time, and an erasure
    assert web.postgres_primary_pool_size == 5  # exports, and reads
    assert ingest.postgres_write_pool_size == 6
    assert cdc.postgres_primary_pool_size == 4  # a fence, a question for names, a wait for commits


def test_cdc_asks_for_names_while_it_publishes() -> None:
    for told, pool in (("auto", 1), ("cdc=4", 8)):
        found = [settings_of(process) for process in processes(processes=told, postgres_pool_size=pool)]
        assert all((each.postgres_primary_pool_size or 0) >= 2 for each in found if Role.CDC in each.roles)


def test_limits_of_the_web_are_divided() -> None:
    worker: dict[str, Any] = {"memory_cache_mb": 200, "answer_cache_mb": 100, "web_max_in_flight": 500}
    (only,) = (settings_of(p, **worker) for p in processes(**worker) if p.kind == "web")
    assert (only.memory_cache_mb, only.web_max_in_flight, only.web_reuse_port) == (200, 500, False)
    found = [settings_of(p, **worker) for p in processes(processes="web=4", **worker) if p.kind == "web"]
    assert [each.memory_cache_mb for each in found] == [50] * 4
    assert [each.answer_cache_mb for each in found] == [25] * 4
    assert [each.web_max_in_flight for each in found] == [125] * 4
    assert [each.web_event_streams for each in found] == [25] * 4
    assert [each.web_max_exports for each in found] == [1] * 4
    assert [each.web_max_connections for each in found] == [2048] * 4
    assert [each.web_held_mb for each in found] == [32] * 4
    assert all(each.web_reuse_port for each in found)


def test_one_process_merges_placeholders() -> None:
    found = processes(processes="web=2,ingest=2")
    merging = [process.name for process in found if settings_of(process).placeholder_interval_s]
    assert merging == ["ingest-1"]


@given(st.integers(1, 200), st.dictionaries(st.text(max_size=3), st.integers(1, 50), min_size=1))
def test_parts_add_up(total: int, weights: dict[str, int]) -> None:
    parts = apportion(total, weights)
    assert sum(parts.values()) == total
    whole = sum(weights.values())
    assert all(abs(parts[name] - total * weight / whole) < 1 for name, weight in weights.items())


def test_no_process_of_a_worker_has_the_owners_password() -> None:
    settings = Settings.model_validate(
        {
            "postgres_dsn": "postgresql://owner:hidden@db/d",
            "postgres_read_dsn": "postgresql://reader:p@db/d",
            "postgres_write_dsn": "postgresql://writer:x@db/d",
            "connect_postgres_dsn": "postgresql://debezium:hidden@inside/d",
        }
    )
    processes = processes_of(settings)
    assert len(processes) == 3
    for process in processes:
        assert not any("hidden" in value for value in process.settings.values())
        # These are in the environment of the command itself: a process has to be given others.
        assert process.settings["PROFILE_POSTGRES_DSN"] == "postgresql://reader:p@db/d"
        assert process.settings["PROFILE_CONNECT_POSTGRES_DSN"] == "postgresql://reader:p@db/d"
        assert process.settings["PROFILE_POSTGRES_WRITE_DSN"] == "postgresql://writer:x@db/d"


def test_with_one_login_processes_have_that_one() -> None:
    settings = Settings.model_validate({"postgres_dsn": "postgresql://u:p@db/d"})
    assert not any("PROFILE_POSTGRES_DSN" in process.settings for process in processes_of(settings))
