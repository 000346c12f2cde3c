"""The routes as URI templates (RFC 6570), for `GET /`."""

from typing import Any, Final

from web.problems import PROBLEMS
from web.route_table import ROUTES

INDEX: Final[dict[str, Any]] = {
    "name": "User Profile",
    "description": "Real-time profiles: entities, their relationships and time series, as one graph.",
    "links": {
        **{route.link: route.template for route in ROUTES if route.link is not None},
        "problems": [problem.type for problem in PROBLEMS.values()],  # there are no others
    },
}
