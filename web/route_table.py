"""The table of routes: the router, the description, scopes, budgets and the list at `/` are made from it.

A route that is added here also needs a handler (web.application) and an operation (web.openapi) of the same id.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, Literal

from app.core.api_keys import Scope


class Budget(Enum):
    """What limits the requests of a route: their time, and how many there may be at once."""

    USUAL = auto()
    EXPORT = auto()  # as long as the reader takes; each holds a connection to the primary
    STREAM = auto()  # without a limit of time
    FREE = auto()  # answered by a server that is full, too


_ANYTHING: Final = "[^/]*"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path; a GET answers HEAD, too.

    `id` is the operationId of the description. `path` has its parameters in braces, as OpenAPI and RFC 6570 have them.
    `scope` is what a key needs; None is for everybody. `modes` are flags of the query that need another scope beside
    it, since with them the answer tells more. `link` is the name at `/`; None is not listed.
    """

    id: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Scope | None
    link: str | None
    _: KW_ONLY
    query: str = ""  # names of query parameters, separated by commas, without those that are deprecated
    budget: Budget = Budget.USUAL
    segment: str = _ANYTHING  # the pattern of each parameter of the path
    modes: Mapping[str, Scope] = field(default_factory=dict)

    @property
    def methods(self) -> tuple[str, ...]:
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def template(self) -> str:
        """The URI template (RFC 6570)."""
        return f"{self.path}{{?{self.query}}}" if self.query else self.path

    @property
    def pattern(self) -> str:
        """The path as aiohttp's router takes it. A segment holds anything but a slash, which is sent as %2F."""
        return self.path.replace("}", f":{self.segment}}}")


_READ, _WRITE, _ERASE, _ADMIN, _METRICS = Scope.READ, Scope.WRITE, Scope.ERASE, Scope.ADMIN, Scope.METRICS
_EXPORT, _STREAM, _FREE = Budget.EXPORT, Budget.STREAM, Budget.FREE
_ENTITY: Final = "/v1/graph/{id}"
_ID: Final = f"(?!(?:sync|batch)$){_ANYTHING}"  # these are routes of their own
_BY_PROPERTY: Final = "/v1/graph/by-property/{prop}/value/{value}"
_BY_KEY: Final = "/v1/graph/by-reference/{type}/{reference}"
_EDGES: Final = f"{_ENTITY}/relationships"
_EDGES_QUERY: Final = "direction,type,entity_type,limit,cursor"
_LETTERS: Final = "/v1/dead-letters"
_REPLAY: Final = f"{_LETTERS}/{{topic}}/{{partition}}/{{offset}}/replay"
_TREE: Final = "depth,period,as_of,fields,types"
_TREES: Final = f"{_TREE},limit,cursor"
_WATCHED: Final = "depth,type,last_event_id"
_DRY: Final = MappingProxyType({"dry_run": Scope.READ})  # it tells what is stored
_FOLLOWED: Final = "entity,type,last_event_id"

# In the order of the list at `/`. The routes of one path stand together, so that they share a resource of the router.
ROUTES: Final = (
    Route("getEntity", "GET", _ENTITY, _READ, "graph", query=_TREE, segment=_ID),
    Route("eraseEntity", "DELETE", _ENTITY, _ERASE, None, segment=_ID),
    Route("findEntitiesByProperty", "GET", _BY_PROPERTY, _READ, "graph_by_property", query=_TREES),
    Route("getEntityByReference", "GET", _BY_KEY, _READ, "graph_by_reference", query=_TREE),
    Route("eraseEntityByReference", "DELETE", _BY_KEY, _ERASE, None),
    Route("getErasure", "GET", "/v1/erasures/{ledger_id}", _ERASE, "erasure"),
    Route("getProvenance", "GET", f"{_ENTITY}/provenance", _READ, "graph_provenance"),
    Route("getProvenanceByReference", "GET", f"{_BY_KEY}/provenance", _READ, "graph_provenance_by_reference"),
    Route("listRelationships", "GET", _EDGES, _READ, "graph_relationships", query=_EDGES_QUERY),
    Route("countRelationships", "GET", f"{_EDGES}/counts", _READ, "graph_relationship_counts"),
    Route("exportEntity", "GET", f"{_ENTITY}/export", _READ, "graph_export", budget=_EXPORT),
    Route("getEntities", "POST", "/v1/graph/batch", _READ, "graph_batch", query=_TREE),
    Route("watchEntity", "GET", f"{_ENTITY}/watch", _READ, "graph_watch", query=_WATCHED, budget=_STREAM),
    Route("followEvents", "GET", "/v1/events", _READ, "events", query=_FOLLOWED, budget=_STREAM),
    Route("listDeadLetters", "GET", _LETTERS, _ADMIN, "dead_letters", query="topic,payload,limit,cursor"),
    Route("replayDeadLetter", "POST", _REPLAY, _ADMIN, "dead_letter_replay"),
    Route("listEntities", "GET", "/v1/entities", _READ, "entities", query="type,limit,cursor"),
    Route("syncGraph", "POST", "/v1/graph/sync", _WRITE, "graph_sync", query="dry_run", modes=_DRY),
    Route(
        "ingestTemporal",
        "POST",
        "/v1/temporal/ingest",
        _WRITE,
        "temporal_ingest",
        query="dry_run",
        modes=_DRY,
    ),
    Route("getPageAsset", "GET", "/assets/{name}", None, "page_assets", budget=_FREE),
    Route("getHealth", "GET", "/healthz", None, "health", budget=_FREE),
    Route("getReadiness", "GET", "/readyz", None, "readiness", budget=_FREE),
    Route("getMetrics", "GET", "/metrics", _METRICS, "metrics", budget=_FREE),
    Route("getDescription", "GET", "/openapi.json", None, "openapi", budget=_FREE),
    Route("getDocs", "GET", "/docs", None, "docs", budget=_FREE),
    Route("getDocsAsset", "GET", "/docs/{asset}", None, None, budget=_FREE),
    Route("getProblem", "GET", "/problems/{name}", None, "problems", budget=_FREE),
    Route("getIndex", "GET", "/", None, None, budget=_FREE),
)
ROUTE_BY_ID: Final[Mapping[str, Route]] = MappingProxyType({route.id: route for route in ROUTES})
