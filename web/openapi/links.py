"""The routes as URI templates (RFC 6570), for `GET /`."""

from typing import Final

from web.problems import PROBLEMS

_TREE: Final = "depth,period,as_of,fields,types"


ROUTES: Final = {
    "name": "User Profile",
    "description": "Real-time profiles: entities, their relationships and time series, as one graph.",
    "links": {
        "graph": f"/v1/graph/{{id}}{{?{_TREE}}}",
        "graph_by_property": f"/v1/graph/by-property/{{prop}}/value/{{value}}{{?{_TREE},limit,cursor}}",
        "graph_by_reference": f"/v1/graph/by-reference/{{type}}/{{reference}}{{?{_TREE}}}",
        "graph_provenance": "/v1/graph/{id}/provenance",
        "graph_provenance_by_reference": "/v1/graph/by-reference/{type}/{reference}/provenance",
        "graph_export": "/v1/graph/{id}/export",
        "graph_batch": f"/v1/graph/batch{{?{_TREE}}}",
        "graph_watch": "/v1/graph/{id}/watch{?depth,type,last_event_id}",
        "events": "/v1/events{?entity,type,last_event_id}",
        "dead_letters": "/v1/dead-letters{?topic,payload,limit,cursor}",
        "dead_letter_replay": "/v1/dead-letters/{topic}/{partition}/{offset}/replay",
        "entities": "/v1/entities{?type,limit,cursor}",
        "graph_sync": "/v1/graph/sync{?dry_run}",
        "temporal_ingest": "/v1/temporal/ingest{?dry_run}",
        "page_assets": "/assets/{name}",
        "health": "/healthz",
        "readiness": "/readyz",
        "metrics": "/metrics",
        "openapi": "/openapi.json",
        "docs": "/docs",
        "problems": [problem.type for problem in PROBLEMS.values()],
    },
}
