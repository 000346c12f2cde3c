"""The table of routes: what is made from it has each route, and nothing else."""

from collections import Counter

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from app.config.settings import Settings
from app.core.errors import FatalError
from tests.unit.web.fakes import World
from web import application as composed
from web.application import HANDLERS, build
from web.openapi.links import INDEX
from web.openapi.operation import Operation
from web.openapi.operations import OPERATIONS
from web.problems import PROBLEMS
from web.route_table import ROUTE_BY_ID, ROUTES, Budget, Route

# `/` does not list itself, nor the files of a page that it lists.
NOT_LISTED = {"getIndex", "getDocsAsset"}
ADDED = Route("getNothing", "GET", "/v1/nothing", None, None)


def made() -> web.Application:
    return build(World().services(), Settings(_env_file=None))


def test_ids_links_and_methods_of_a_path_are_unique() -> None:
    for names in (
        [route.id for route in ROUTES],
        [route.link for route in ROUTES if route.link],
        [(route.method, route.path) for route in ROUTES],
    ):
        assert [name for name, times in Counter(names).items() if times > 1] == []


def test_each_route_has_one_operation() -> None:
    assert Counter(operation.id for operation in OPERATIONS) == Counter(route.id for route in ROUTES)


def test_the_router_has_the_routes_of_the_table_and_one_for_all_else() -> None:
    routed = Counter(
        (route.resource.canonical, route.method) for route in made().router.routes() if route.resource
    )
    described = [(route.path, method) for route in ROUTES for method in route.methods]
    assert routed == Counter([*described, ("/{unrouted}", "*")])


def test_a_route_without_a_handler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "ROUTE_BY_ID", {**ROUTE_BY_ID, ADDED.id: ADDED})
    with pytest.raises(FatalError, match=r"web\.application: getNothing\."):
        made()


def test_a_handler_without_a_route_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "HANDLERS", {**HANDLERS, ADDED.id: HANDLERS["getHealth"]})
    with pytest.raises(FatalError, match=r"web\.route_table .*: getNothing\."):
        made()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.id)
async def test_a_path_leads_to_its_own_resource_alone(route: Route) -> None:
    # Else a method that the path does not have would find the handler of another one, as of an id named `sync`.
    path = route.path.replace("{", "").replace("}", "")
    request = make_mocked_request(route.method, path)
    found = []
    for resource in made().router.resources():
        match, allowed = await resource.resolve(request)
        if match is not None or allowed:
            found.append(resource.canonical)
    assert found == [route.path, "/{unrouted}"]


def test_each_path_is_listed_but_for_the_list_and_a_page_s_files() -> None:
    listed = {route.path for route in ROUTES if route.link}
    assert {route.id for route in ROUTES if route.path not in listed} == NOT_LISTED
    # What changes a listed path needs no link of its own.
    assert {route.method for route in ROUTES if route.link is None and route.path in listed} == {"DELETE"}


def test_the_list_has_the_templates_of_the_table() -> None:
    links = dict(INDEX["links"])
    assert links.pop("problems") == [problem.type for problem in PROBLEMS.values()]
    assert links == {route.link: route.template for route in ROUTES if route.link not in (None, "problems")}
    assert links["graph_watch"] == "/v1/graph/{id}/watch{?depth,type,last_event_id}"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_a_template_names_the_parameters_that_are_described(operation: Operation) -> None:
    described = {
        part["name"]
        for part in operation.parameters
        if part["in"] == "query" and not part.get("deprecated", False)
    }
    assert {name for name in operation.route.query.split(",") if name} == described


def test_what_has_no_version_is_answered_by_a_full_server() -> None:
    for route in ROUTES:
        assert (route.budget is Budget.FREE) == (not route.path.startswith("/v1/")), route.id
