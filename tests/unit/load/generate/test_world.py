"""The seeded world: deterministic, complete, and before its end."""

from datetime import UTC, datetime

import orjson
import pytest

from load.generate.world import World, month_after, month_start

UNTIL = datetime(2026, 3, 1, tzinfo=UTC)


def a_world(*, seed: int = 1, users: int = 40, months: int = 3) -> World:
    return World(seed=seed, users=users, months=months, until=UNTIL)


def test_the_same_seed_gives_the_same_world() -> None:
    assert list(a_world().nodes()) == list(a_world().nodes())
    assert list(a_world().points()) == list(a_world().points())


def test_another_seed_gives_other_references_and_emails() -> None:
    one, two = list(a_world().nodes()), list(a_world(seed=2).nodes())
    assert {n.reference for n in one}.isdisjoint(n.reference for n in two)
    emails = [
        [
            f.value["address"]
            for n in nodes
            for f in n.facts
            if f.field == "email" and isinstance(f.value, dict)
        ]
        for nodes in (one, two)
    ]
    assert set(emails[0]).isdisjoint(emails[1])
    assert len(set(emails[0])) == 40


def test_a_larger_world_holds_the_users_of_a_smaller_one() -> None:
    def references(users: int) -> set[str]:
        return {n.reference for n in a_world(users=users).nodes() if n.type == "user"}

    assert references(10) < references(40)


def test_counts_are_those_of_what_is_generated() -> None:
    world = a_world()
    assert world.count_nodes() == len(list(world.nodes()))
    assert world.count_points() == len(list(world.points()))


def test_every_relationship_and_point_names_an_entity_that_came_before() -> None:
    world, seen = a_world(), set()
    for node in world.nodes():
        assert (node.type, node.reference) not in seen
        assert all((link.type, link.reference) in seen for link in node.links)
        seen.add((node.type, node.reference))
    assert all((point.type, point.reference) in seen for point in world.points())
    assert {kind for kind, _ in seen} == {"user", "organization", "affiliation", "device"}


def test_all_dates_lie_in_the_months_before_the_end() -> None:
    start = datetime(2025, 12, 1, tzinfo=UTC)
    world = a_world()
    assert all(start <= fact.date < UNTIL for node in world.nodes() for fact in node.facts)
    assert all(start <= point.period_start < point.date < UNTIL for point in world.points())
    assert {point.period_start.month for point in world.points()} == {12, 1, 2}


def test_a_point_is_unique_by_entity_key_and_period() -> None:
    points = list(a_world().points())
    assert len({(p.type, p.reference, p.key, p.period_start) for p in points}) == len(points)


def test_values_of_points_are_json_with_amounts_as_written() -> None:
    for point in a_world().points():
        value = orjson.loads(point.value)
        if point.key == "tpv":
            assert all(isinstance(item["amount"], int) and item["amount"] > 0 for item in value["items"])
        else:
            total = point.value.split(",")[0].removeprefix('{"total_amount":')
            assert len(total.split(".")[1]) == 2


def test_one_user_is_a_world_too() -> None:
    world = a_world(users=1, months=1)
    assert sum(node.type == "user" for node in world.nodes()) == 1


@pytest.mark.parametrize(
    ("now", "start", "after"),
    [
        ("2026-12-31T23:59:59+00:00", "2026-12-01", "2027-01-01"),
        ("2026-01-01T00:00:00+00:00", "2026-01-01", "2026-02-01"),
        ("2026-01-31T23:00:00-03:00", "2026-02-01", "2026-03-01"),
    ],
)
def test_months_are_those_of_utc(now: str, start: str, after: str) -> None:
    moment = datetime.fromisoformat(now)
    assert month_start(moment).date().isoformat() == start
    assert month_after(moment).date().isoformat() == after
